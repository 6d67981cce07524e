# Sets SLUICE_CUDA_ENABLED: whether CUDA kernels are built. A machine without nvcc builds everything else.
set(SLUICE_CUDA_ENABLED OFF)
if(NOT SLUICE_CUDA STREQUAL "OFF" AND NOT SLUICE_SANITIZE AND NOT SLUICE_FUZZ AND NOT CMAKE_CROSSCOMPILING)
  # Code for Hopper, and PTX that the driver compiles for every other device: since Ampere, with its matrix
  # instructions, and for Turing. What CI has time for.
  # A release for one kind of device sets its own, "native" or "86-real".
  if(NOT CMAKE_CUDA_ARCHITECTURES)
    set(CMAKE_CUDA_ARCHITECTURES 75-virtual 80-virtual 90-real)
  endif()
  include(CheckLanguage)
  check_language(CUDA)
  find_package(CUDAToolkit QUIET)
  if(CMAKE_CUDA_COMPILER AND TARGET CUDA::cudart_static)
    enable_language(CUDA)
    # CMake 3.25 does not know that nvcc has C++20.
    if(NOT CMAKE_CUDA20_STANDARD_COMPILE_OPTION)
      set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION "-std=c++20")
      set(CMAKE_CUDA20_EXTENSION_COMPILE_OPTION "-std=c++20")
    endif()
    set(CMAKE_CUDA_STANDARD 20)
    if(SLUICE_CCACHE AND NOT CMAKE_CUDA_COMPILER_LAUNCHER)
      set(CMAKE_CUDA_COMPILER_LAUNCHER ${SLUICE_CCACHE})
    endif()
    set(SLUICE_CUDA_ENABLED ON)
    message(STATUS "CUDA ${CMAKE_CUDA_COMPILER_VERSION}: kernels for ${CMAKE_CUDA_ARCHITECTURES}")
  elseif(SLUICE_CUDA STREQUAL "ON")
    message(FATAL_ERROR "SLUICE_CUDA is ON, and CMake found no nvcc or no static CUDA runtime")
  endif()
endif()
