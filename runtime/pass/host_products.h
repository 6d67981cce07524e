// Products that the CPU computes for a device: their activations come from there, what they give
// goes back.
#ifndef SLUICE_RUNTIME_PASS_HOST_PRODUCTS_H_
#define SLUICE_RUNTIME_PASS_HOST_PRODUCTS_H_

#include <atomic>
#include <chrono>
#include <cstdint>
#include <limits>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "kernels/base/mutex.h"
#include "kernels/cpu/thread.h"
#include "kernels/device.h"
#include "kernels/ops.h"
#include "prefetch/io/host_buffer.h"
#include "runtime/place/compute_place.h"
#include "storage/store/manifest.h"

namespace sluice {

// Sizes of what lies between a device and the CPU that computes slabs for it, in passes of up to
// `rows` rows: activations of one matrix in each format, none of them rounded, and products of all
// matrices that read the same.
struct HostProductSizes {
  int64_t activation_bytes[kNumActivationFormats] = {};  // pinned host memory
  int64_t product_bytes = 0;  // f32: pinned host memory, and the same on the device
  int64_t host_bytes() const;
};
HostProductSizes SizeHostProducts(const Manifest& manifest, int64_t rows, int64_t logit_rows);

// What was done so far.
struct HostProductCounters {
  int64_t slabs = 0;
  int64_t bytes = 0;        // of tiles
  double seconds = 0;       // computing
  double wait_seconds = 0;  // Collect() waiting for it
};

// Owns a thread, the first of the team that the place's host_ops() compute with. Products that read
// the same activations are started together, as soon as these are prepared, and collected before
// anything reads what they give; then the next ones may be started:
//
//   kIdle -> kStarted -> kDone -> kIdle
//
// kStarted -> kDone is the thread's move, the others are the calling thread's. What orders the two
// queues of the device: the thread computes once the activations' copy is done, so all that was
// queued on the place's stream before it is done, too: products of the start before were read, and
// their buffers are free on both sides. What reads the products waits for their copies.
class HostProducts {
 public:
  // One slab's product.
  struct Product {
    int slab;
    // As for the device, but for `tiles` and the addends, which are host memory, and `activations`,
    // which are not looked at. The device's `out` may be what it adds to.
    MatMulArgs args;
  };
  // When a product was computed.
  struct Span {
    int slab;
    std::chrono::steady_clock::time_point begin;
    std::chrono::steady_clock::time_point end;
  };

  // `place`, on a device and with host_ops(), must outlive it. `sizes`: SizeHostProducts of what is
  // started at once.
  static absl::StatusOr<std::unique_ptr<HostProducts>> Create(const HostProductSizes& sizes,
                                                              ComputePlace* place);
  // Waits for the product that is being computed, and for the device.
  ~HostProducts();

  // The activations that the place's stream has prepared, in device memory, one span for each
  // format with the bytes of all rows. The spans of formats that no product reads are empty.
  using Activations = absl::Span<const std::byte>[kNumActivationFormats];

  // Starts `products`. All products that were started before must have been collected.
  absl::Status Start(const Activations& activations, absl::Span<const Product> products);

  // Waits until the products of slabs before `end` are computed, and queues on the place's stream,
  // in order, the operations that bring them to `out`. Products that were brought there before are
  // skipped. Start may be called again only after all products were collected. Ok if nothing was
  // started. After an error of either thread or of the device, every later call returns an error.
  absl::Status Collect(int end = std::numeric_limits<int>::max());

  // Gives up the products that were started, and waits for the one that is being computed.
  void Drop();

  // Any thread.
  HostProductCounters counters() const;
  // What was computed since the last call, the oldest first; no more than some thousand of them.
  // Any thread.
  std::vector<Span> TakeSpans();

 private:
  enum class State : uint8_t { kIdle, kStarted, kDone };

  explicit HostProducts(ComputePlace* place) : place_(place) {}
  absl::Status Allocate(const HostProductSizes& sizes);
  void Run();
  absl::Status Compute();
  void AwaitDone();  // of kStarted

  ComputePlace* const place_;
  HostBuffer host_memory_;  // activations by format, then products
  DeviceRange pinned_;
  DeviceRange device_products_;
  int64_t activations_at_[kNumActivationFormats] = {};
  int64_t products_at_ = 0;
  int64_t activation_bytes_[kNumActivationFormats] = {};
  int64_t product_bytes_ = 0;
  std::unique_ptr<Stream> back_;    // the thread's: products to the device
  std::unique_ptr<Event> arrived_;  // activations
  std::unique_ptr<Event> sent_;     // products

  // Handed over with state_.
  std::vector<Product> products_;
  size_t collected_ = 0;      // of them
  int64_t collected_at_ = 0;  // floats that they take
  absl::Status status_;

  mutable Mutex mutex_;
  CondVar moved_;
  State state_ ABSL_GUARDED_BY(mutex_) = State::kIdle;
  std::atomic<bool> stopping_ = false;  // the thread is to leave out what it has not begun
  bool closing_ ABSL_GUARDED_BY(mutex_) = false;
  std::vector<Span> spans_ ABSL_GUARDED_BY(mutex_);
  HostProductCounters counters_ ABSL_GUARDED_BY(mutex_);
  Thread thread_;
};

}  // namespace sluice

#endif  // SLUICE_RUNTIME_PASS_HOST_PRODUCTS_H_
