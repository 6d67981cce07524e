# What `cmake --install` lays down: the command, the C++ library as archives with their headers and a CMake package
# (sluice::sluice), and libsluice.so with sluice.h and a pkg-config file (docs/library.md).
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

set(headers ${CMAKE_INSTALL_INCLUDEDIR}/sluice)  # includes begin with the folder's name: "runtime/open/open.h"
set(package ${CMAKE_INSTALL_LIBDIR}/cmake/sluice)
set(libraries sluice_options sluice_sanitize sluice_fuzzed sluice_kernels sluice_storage sluice_prefetch sluice_tokenizer
  sluice_jinja sluice_grammar sluice_runtime)
if(SLUICE_CUDA_ENABLED)
  list(APPEND libraries sluice_cuda_kernels)
endif()
set_target_properties(sluice_runtime PROPERTIES EXPORT_NAME sluice)
install(TARGETS ${libraries} EXPORT sluice-targets
  ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} INCLUDES DESTINATION ${headers})
install(EXPORT sluice-targets NAMESPACE sluice:: DESTINATION ${package})
install(DIRECTORY kernels storage prefetch runtime DESTINATION ${headers}
  FILES_MATCHING PATTERN "*.h" PATTERN "*.def")
configure_package_config_file(cmake/sluice-config.cmake.in ${PROJECT_BINARY_DIR}/sluice-config.cmake
  INSTALL_DESTINATION ${package} NO_SET_AND_CHECK_MACRO NO_CHECK_REQUIRED_COMPONENTS_MACRO)
write_basic_package_version_file(${PROJECT_BINARY_DIR}/sluice-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/sluice-config.cmake ${PROJECT_BINARY_DIR}/sluice-config-version.cmake
  DESTINATION ${package})

if(NOT SLUICE_STATIC)
  install(TARGETS sluice_c LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
  install(FILES runtime/open/c_api/sluice.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
  configure_file(cmake/sluice.pc.in ${PROJECT_BINARY_DIR}/sluice.pc @ONLY)
  install(FILES ${PROJECT_BINARY_DIR}/sluice.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
endif()
