// One thread, two copies, and the end of each product on the device.
#include "runtime/pass/host_products.h"

#include <algorithm>
#include <utility>

#include "absl/base/macros.h"
#include "absl/strings/str_cat.h"
#include "kernels/base/status_macros.h"
#include "kernels/encodings/tile.h"
#include "runtime/pass/workspace.h"

namespace sluice {
namespace {

using Clock = std::chrono::steady_clock;

// Spans that nobody takes, of a run without a trace.
constexpr size_t kMostSpans = 4096;

int64_t RowsOf(const MatMulArgs& args) {
  return std::min(args.num_tiles * kTileRows, args.matrix_rows - args.first_row);
}

int64_t BytesOf(const MatMulArgs& args) {
  return RowsOf(args) * args.num_tokens * static_cast<int64_t>(sizeof(float));
}

}  // namespace

int64_t HostProductSizes::host_bytes() const {
  int64_t bytes = product_bytes;
  for (const int64_t of_format : activation_bytes) bytes += of_format;
  return bytes;
}

HostProductSizes SizeHostProducts(const Manifest& manifest, int64_t rows, int64_t logit_rows) {
  HostProductSizes sizes;
  int64_t together = 0;  // of slabs that read the same
  int block = -1;
  PassBuffer input = PassBuffer::kNormed;
  for (const ManifestSlab& slab : manifest.slabs) {
    const ManifestTensor& tensor = manifest.tensors[slab.tensors[0]];
    const Product& product = manifest.ProductOf(slab);
    const int64_t count = OfLogitRows(product) ? std::min(rows, logit_rows) : rows;
    if (slab.block != block || product.reads != input) together = 0;
    block = slab.block;
    input = product.reads;
    together += count * ProductRows(manifest, slab) * static_cast<int64_t>(sizeof(float));
    sizes.product_bytes = std::max(sizes.product_bytes, HostBuffer::RoundedBytes(together));
    const ActivationFormat format = Info(tensor.encoding).activations;
    int64_t& bytes = sizes.activation_bytes[static_cast<int>(format)];
    bytes = std::max(bytes,
                     HostBuffer::RoundedBytes(count * ActivationRowBytes(format, tensor.shape[1])));
  }
  return sizes;
}

absl::StatusOr<std::unique_ptr<HostProducts>> HostProducts::Create(const HostProductSizes& sizes,
                                                                   ComputePlace* place) {
  if (place->device() == nullptr || place->host_ops() == nullptr) {
    return absl::InternalError(
        "products of the CPU for a place that is not a device's, or without operations");
  }
  std::unique_ptr<HostProducts> products(new HostProducts(place));
  SLUICE_RETURN_IF_ERROR(products->Allocate(sizes));
  absl::StatusOr<Thread> thread = Thread::Start("sluice-host", [p = products.get()] { p->Run(); });
  if (!thread.ok()) return ThreadShortage("for the CPU's share of products", 1, 0, thread.status());
  products->thread_ = *std::move(thread);
  return products;
}

absl::Status HostProducts::Allocate(const HostProductSizes& sizes) {
  for (int i = 0; i < kNumActivationFormats; ++i) {
    activations_at_[i] = products_at_;
    activation_bytes_[i] = sizes.activation_bytes[i];
    products_at_ += sizes.activation_bytes[i];
  }
  product_bytes_ = sizes.product_bytes;
  SLUICE_ASSIGN_OR_RETURN(host_memory_, HostBuffer::Create(sizes.host_bytes()));
  SLUICE_ASSIGN_OR_RETURN(pinned_, place_->device()->Pin(host_memory_.span()));
  SLUICE_ASSIGN_OR_RETURN(device_products_, place_->Allocate(sizes.product_bytes));
  SLUICE_ASSIGN_OR_RETURN(back_, place_->device()->NewStream());
  SLUICE_ASSIGN_OR_RETURN(arrived_, place_->device()->NewEvent());
  SLUICE_ASSIGN_OR_RETURN(sent_, place_->device()->NewEvent());
  const MutexLock lock(&mutex_);
  spans_.reserve(kMostSpans);
  return absl::OkStatus();
}

HostProducts::~HostProducts() {
  stopping_ = true;
  {
    const MutexLock lock(&mutex_);
    closing_ = true;
    moved_.NotifyAll();
  }
  thread_.Join();
  // What is queued still reads the buffers. Errors were told, or nobody waits for them any more.
  if (back_ != nullptr) back_->Finish().IgnoreError();
  place_->stream()->Finish().IgnoreError();
}

absl::Status HostProducts::Start(const Activations& activations,
                                 absl::Span<const Product> products) {
  SLUICE_RETURN_IF_ERROR(status_);
  if (products.empty()) return absl::OkStatus();
  int64_t bytes = 0;
  for (const Product& product : products) bytes += BytesOf(product.args);
  if (bytes > product_bytes_) {
    return absl::InternalError(
        absl::StrCat("products of ", bytes, " bytes at once, with room for ", product_bytes_));
  }
  Stream* const stream = place_->stream();
  for (int i = 0; i < kNumActivationFormats; ++i) {
    const auto size = static_cast<int64_t>(activations[i].size());
    if (size == 0) continue;
    if (size > activation_bytes_[i]) {
      return absl::InternalError(
          absl::StrCat("activations of ", size, " bytes, with room for ", activation_bytes_[i]));
    }
    SLUICE_RETURN_IF_ERROR(
        stream->CopyToHost(host_memory_.data() + activations_at_[i], activations[i].data(), size));
  }
  SLUICE_RETURN_IF_ERROR(stream->Record(arrived_.get()));
  products_.assign(products.begin(), products.end());
  collected_ = 0;
  collected_at_ = 0;
  const MutexLock lock(&mutex_);
  ABSL_ASSERT(state_ == State::kIdle);
  state_ = State::kStarted;
  moved_.NotifyAll();
  return absl::OkStatus();
}

void HostProducts::AwaitDone() {
  const MutexLock lock(&mutex_);
  while (state_ == State::kStarted) moved_.Wait(&mutex_);
  state_ = State::kIdle;
}

absl::Status HostProducts::Collect(int end) {
  if (products_.empty()) return status_;
  const Clock::time_point begin = Clock::now();
  AwaitDone();
  {
    const MutexLock lock(&mutex_);
    counters_.wait_seconds += std::chrono::duration<double>(Clock::now() - begin).count();
  }
  SLUICE_RETURN_IF_ERROR(status_);
  status_ = place_->stream()->WaitFor(sent_.get());
  const auto* const y = reinterpret_cast<const float*>(device_products_.data());
  for (; status_.ok() && collected_ < products_.size() && products_[collected_].slab < end;
       ++collected_) {
    const MatMulArgs& args = products_[collected_].args;
    status_ = place_->ops()->EndProduct(
        {.y = y + collected_at_,
         .num_tokens = args.num_tokens,
         .num_rows = RowsOf(args),
         .epilogue = args.epilogue == Epilogue::kSwiGlu ? Epilogue::kStore : args.epilogue,
         .out = args.out + args.first_row,
         .out_stride = args.out_stride});
    collected_at_ += RowsOf(args) * args.num_tokens;
  }
  if (collected_ == products_.size()) products_.clear();
  return status_;
}

void HostProducts::Drop() {
  if (products_.empty()) return;
  stopping_ = true;
  AwaitDone();
  stopping_ = false;
  products_.clear();
  // Copies of what was computed may read the buffer still.
  status_.Update(back_->Finish());
}

HostProductCounters HostProducts::counters() const {
  const MutexLock lock(&mutex_);
  return counters_;
}

std::vector<HostProducts::Span> HostProducts::TakeSpans() {
  const MutexLock lock(&mutex_);
  std::vector<Span> spans = spans_;
  spans_.clear();
  return spans;
}

void HostProducts::Run() {
  const MutexLock lock(&mutex_);
  for (;;) {
    while (!closing_ && state_ != State::kStarted) moved_.Wait(&mutex_);
    if (closing_) return;
    mutex_.Unlock();
    absl::Status status = Compute();
    mutex_.Lock();
    status_.Update(std::move(status));
    state_ = State::kDone;
    moved_.NotifyAll();
  }
}

absl::Status HostProducts::Compute() {
  SLUICE_RETURN_IF_ERROR(arrived_->Wait());
  int64_t at = 0;
  for (const Product& product : products_) {
    if (stopping_) return absl::OkStatus();
    MatMulArgs args = product.args;
    const int64_t rows = RowsOf(args), bytes = BytesOf(args);
    std::byte* const y = host_memory_.data() + products_at_ + at;
    args.activations =
        host_memory_.data() + activations_at_[static_cast<int>(Info(args.encoding).activations)];
    if (args.addend != nullptr) args.addend += args.first_row;
    if (args.up_addend != nullptr) args.up_addend += args.first_row;
    if (args.epilogue != Epilogue::kSwiGlu) args.epilogue = Epilogue::kStore;
    args.first_row = 0;
    args.matrix_rows = rows;
    args.out = reinterpret_cast<float*>(y);
    args.out_stride = rows;
    const Clock::time_point begin = Clock::now();
    SLUICE_RETURN_IF_ERROR(place_->host_ops()->MatMul(args));
    const Clock::time_point end = Clock::now();
    {
      const MutexLock lock(&mutex_);
      if (spans_.size() < kMostSpans) spans_.push_back({product.slab, begin, end});
      const int64_t tiles = args.num_tiles * (args.epilogue == Epilogue::kSwiGlu ? 2 : 1);
      ++counters_.slabs;
      counters_.bytes += tiles * TileBytes(args.encoding, args.k);
      counters_.seconds += std::chrono::duration<double>(end - begin).count();
    }
    SLUICE_RETURN_IF_ERROR(back_->CopyToDevice(device_products_.data() + at, y, bytes));
    at += bytes;
  }
  return back_->Record(sent_.get());
}

}  // namespace sluice
