// Keeps the queue full with as many requests as that takes; each answer asks for the next piece.
#include "prefetch/stage_rates.h"

#include <fcntl.h>
#include <unistd.h>
#include <xxhash.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <memory>
#include <optional>
#include <random>
#include <utility>

#include "absl/strings/str_cat.h"
#include "kernels/base/mutex.h"
#include "kernels/base/status_macros.h"
#include "kernels/encodings/encoding.h"
#include "prefetch/io/host_buffer.h"
#include "prefetch/slab_stream.h"
#include "storage/file/durable_file.h"
#include "storage/store/manifest.h"
#include "storage/store/slab_codec.h"

namespace sluice {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int64_t kPieceBytes = int64_t{8} << 20;
constexpr int64_t kLeastBytes = int64_t{1} << 20;

struct Piece {
  int file;
  int64_t offset;
  int64_t bytes;
};

std::vector<Piece> Pieces(const std::vector<ReadSource>& sources, int64_t piece_bytes) {
  std::vector<Piece> pieces;
  for (size_t file = 0; file < sources.size(); ++file) {
    for (int64_t offset = 0; offset < sources[file].bytes; offset += piece_bytes) {
      pieces.push_back(
          {static_cast<int>(file), offset, std::min(piece_bytes, sources[file].bytes - offset)});
    }
  }
  return pieces;
}

// Reads pieces round and round until the deadline. Its callbacks run on the engine's threads.
class Reader {
 public:
  Reader(std::vector<Piece> pieces, int64_t piece_bytes, const HostBuffer& buffer, IoEngine* engine)
      : pieces_(std::move(pieces)), piece_bytes_(piece_bytes), buffer_(buffer), engine_(*engine) {}

  absl::StatusOr<double> Run(int num_slots, double seconds) {
    const Clock::time_point start = Clock::now();
    deadline_ =
        start + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
    {
      const MutexLock lock(&mutex_);
      outstanding_ = num_slots;
      next_ = num_slots;
    }
    for (int slot = 0; slot < num_slots; ++slot) Submit(slot, slot);
    const MutexLock lock(&mutex_);
    while (outstanding_ != 0) done_.Wait(&mutex_);
    SLUICE_RETURN_IF_ERROR(status_);
    const std::chrono::duration<double> taken = last_ - start;
    return static_cast<double>(bytes_) / taken.count();
  }

 private:
  void Submit(int slot, int64_t number) {
    const Piece& piece = pieces_[number % static_cast<int64_t>(pieces_.size())];
    IoRequest request;
    request.file = piece.file;
    request.offset = piece.offset;
    request.bytes = piece.bytes;
    request.buffer = {buffer_.data() + slot * piece_bytes_,
                      static_cast<size_t>(RoundUp(piece.bytes, kReadAlignment))};
    request.done = [this, slot, bytes = piece.bytes](absl::Status status) {
      Arrived(slot, bytes, std::move(status));
    };
    engine_.Submit(std::move(request));
  }

  void Arrived(int slot, int64_t bytes, absl::Status status) {
    int64_t number;
    {
      const MutexLock lock(&mutex_);
      const Clock::time_point now = Clock::now();
      if (now <= deadline_ || bytes_ == 0) {  // the queue is full until then
        bytes_ += bytes;
        last_ = now;
      }
      if (!status.ok()) status_ = std::move(status);
      if (!status_.ok() || now >= deadline_) {
        if (--outstanding_ == 0) done_.NotifyOne();
        return;
      }
      number = next_++;
    }
    Submit(slot, number);
  }

  const std::vector<Piece> pieces_;
  const int64_t piece_bytes_;  // bytes of the largest piece
  const HostBuffer& buffer_;
  IoEngine& engine_;
  Clock::time_point deadline_;

  Mutex mutex_;
  CondVar done_;
  int outstanding_ ABSL_GUARDED_BY(mutex_) = 0;
  int64_t next_ ABSL_GUARDED_BY(mutex_) = 0;
  int64_t bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  Clock::time_point last_ ABSL_GUARDED_BY(mutex_);  // when the last of bytes_ arrived
  absl::Status status_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace

absl::StatusOr<double> MeasureReadRate(const std::vector<ReadSource>& sources,
                                       const IoOptions& options, double seconds) {
  int64_t total = 0;
  std::vector<std::string> paths;
  for (const ReadSource& source : sources) {
    total += source.bytes;
    paths.push_back(source.path);
  }
  if (total < kLeastBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("measuring a disk needs files of ", kLeastBytes, " bytes, not ", total));
  }
  // Two requests more than are in flight: one that has arrived and one that waits for its turn.
  const int64_t in_flight = options.queue_depth * std::min(options.read_bytes, kPieceBytes);
  const int64_t piece_bytes = std::min(kPieceBytes, in_flight);
  const int num_slots = static_cast<int>((in_flight + piece_bytes - 1) / piece_bytes + 2);
  SLUICE_ASSIGN_OR_RETURN(const HostBuffer buffer, HostBuffer::Create(num_slots * piece_bytes));
  SLUICE_ASSIGN_OR_RETURN(const std::unique_ptr<IoEngine> engine,
                          IoEngine::Create(paths, {buffer.span()}, options));
  return Reader(Pieces(sources, piece_bytes), piece_bytes, buffer, engine.get())
      .Run(num_slots, seconds);
}

absl::StatusOr<double> MeasureSmallRing(const std::vector<ReadSource>& sources, IoKind kind,
                                        double seconds) {
  constexpr int64_t kSlabBytes = kSmallRingBytes / 8;
  constexpr size_t kMostSlabs = 64;
  std::vector<std::string> paths;
  for (const ReadSource& source : sources) paths.push_back(source.path);
  std::vector<StreamSlab> cycle;
  std::vector<std::byte> bytes(kSlabBytes);
  for (const Piece& piece : Pieces(sources, kSlabBytes)) {
    if (cycle.size() == kMostSlabs) break;
    if (piece.bytes < kSlabBytes) continue;
    const FileDescriptor fd(open(paths[piece.file].c_str(), O_RDONLY | O_CLOEXEC));
    if (fd.get() < 0) return FileError(errno, "open", paths[piece.file]);
    if (pread(fd.get(), bytes.data(), kSlabBytes, piece.offset) != kSlabBytes) {
      return FileError(errno, "read", paths[piece.file]);
    }
    cycle.push_back({.file = piece.file,
                     .offset = piece.offset,
                     .bytes = kSlabBytes,
                     .checksum = Checksum(bytes)});
  }
  if (cycle.size() < 2 * kSmallRingBytes / kSlabBytes)
    return 0;  // a model that small needs no ring
  StreamOptions options;
  options.io.kind = kind;
  options.ring_bytes = kSmallRingBytes;
  SLUICE_ASSIGN_OR_RETURN(const std::unique_ptr<SlabStream> stream,
                          SlabStream::Create(std::move(paths), cycle, options));
  const auto turn = [&]() -> absl::Status {
    for (int64_t slab = 0; slab < kSmallRingBytes / kSlabBytes; ++slab)
      SLUICE_RETURN_IF_ERROR(stream->Next().status());
    return absl::OkStatus();
  };
  SLUICE_RETURN_IF_ERROR(turn());
  const Clock::time_point start = Clock::now();
  std::chrono::duration<double> taken(0);
  int64_t turns = 0;
  do {
    SLUICE_RETURN_IF_ERROR(turn());
    ++turns;
    taken = Clock::now() - start;
  } while (taken.count() < seconds);
  return static_cast<double>(turns * kSmallRingBytes) / taken.count();
}

double MeasureVerifyRate(double seconds, int64_t memory_bytes) {
  // A piece is larger than a core's caches, if there is so much memory.
  const int64_t piece_bytes = std::clamp(memory_bytes / 8, kLeastBytes, kPieceBytes);
  const int64_t all_bytes = 8 * piece_bytes;
  const std::unique_ptr<std::byte[]> bytes(new std::byte[all_bytes]);
  std::memset(bytes.get(), 1, all_bytes);
  uint64_t sum = 0;
  double best = 0;
  const Clock::time_point start = Clock::now();
  for (int64_t offset = 0;
       best == 0 || Clock::now() - start < std::chrono::duration<double>(seconds);
       offset = (offset + piece_bytes) % all_bytes) {
    const Clock::time_point begin = Clock::now();
    sum += XXH3_64bits(bytes.get() + offset, piece_bytes);
    const std::chrono::duration<double> taken = Clock::now() - begin;
    best = std::max(best, static_cast<double>(piece_bytes) / taken.count());
  }
  return sum == 0 ? 0 : best;  // using the sum makes the compiler compute it
}

absl::StatusOr<UnpackRate> MeasureUnpackRate(double seconds) {
  // A mebibyte of Gaussian weights, repeated. An entropy coder finds no more repetition in that
  // than in weights that do not repeat.
  constexpr int64_t kDistinct = int64_t{1} << 20;
  std::vector<std::byte> raw(kPieceBytes);
  std::mt19937 random(1);
  std::normal_distribution<float> normal(0, 0.02f);
  auto* const words = reinterpret_cast<uint16_t*>(raw.data());
  for (int64_t i = 0; i < kDistinct / 2; ++i) words[i] = F32ToBF16(normal(random));
  for (int64_t i = kDistinct; i < kPieceBytes; i += kDistinct) {
    std::memcpy(raw.data() + i, raw.data(), kDistinct);
  }
  std::vector<std::byte> stored(kPieceBytes);
  constexpr SlabCompression kCompression = SlabCompression::kZstdPlanes;
  SLUICE_ASSIGN_OR_RETURN(const std::optional<int64_t> size,
                          SlabEncoder().Encode(kCompression, raw, absl::MakeSpan(stored)));
  if (!size.has_value()) return absl::InternalError("Gaussian weights did not compress");
  std::vector<std::byte> place(CompressedPlaceBytes(kPieceBytes));
  SlabDecoder decoder;
  double best = 0;
  const Clock::time_point start = Clock::now();
  while (best == 0 || Clock::now() - start < std::chrono::duration<double>(seconds)) {
    std::memcpy(place.data() + place.size() - RoundUp(*size, kReadAlignment), stored.data(), *size);
    const Clock::time_point begin = Clock::now();
    SLUICE_RETURN_IF_ERROR(decoder.Decode(kCompression, absl::MakeSpan(place), *size, kPieceBytes));
    const std::chrono::duration<double> taken = Clock::now() - begin;
    best = std::max(best, static_cast<double>(kPieceBytes) / taken.count());
  }
  return UnpackRate{best, static_cast<double>(*size) / kPieceBytes};
}

}  // namespace sluice
