// Buffered reading of lines.
#include "runtime/batch/line_reader.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "absl/types/span.h"
#include "kernels/base/status_macros.h"
#include "storage/file/checksum.h"
#include "storage/store/manifest.h"

namespace sluice {
namespace {

constexpr absl::string_view kUtf8Mark = "\xEF\xBB\xBF";

// As many as `bytes`, or what there is until the end of the file.
absl::StatusOr<size_t> ReadChunk(int fd, char* out, size_t bytes, const std::string& path) {
  size_t done = 0;
  while (done < bytes) {
    const ssize_t n = read(fd, out + done, bytes - done);
    if (n == 0) break;
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return FileError(errno, "read", path);
    done += static_cast<size_t>(n);
  }
  return done;
}

FileStamp StampOf(const struct stat& info) {
  const auto nanoseconds = [](const timespec& t) {
    return int64_t{t.tv_sec} * 1'000'000'000 + t.tv_nsec;
  };
  return {info.st_dev, info.st_ino, info.st_size, nanoseconds(info.st_mtim),
          nanoseconds(info.st_ctim)};
}

// UTF-8 is the one encoding of JSON lines and prompts; a mark of another one says what is wrong
// with every line.
absl::Status CheckByteOrderMark(absl::string_view begin, const std::string& path) {
  constexpr std::pair<absl::string_view, absl::string_view> kMarks[] = {
      {absl::string_view("\xFF\xFE\0\0", 4), "UTF-32"},
      {absl::string_view("\0\0\xFE\xFF", 4), "UTF-32"},
      {"\xFF\xFE", "UTF-16"},
      {"\xFE\xFF", "UTF-16"}};
  for (const auto& [mark, name] : kMarks) {
    if (!absl::StartsWith(begin, mark)) continue;
    return absl::InvalidArgumentError(
        absl::StrCat(path, " begins with the byte order mark of ", name, "; save it as UTF-8"));
  }
  return absl::OkStatus();
}

absl::Status ChangedInput(const std::string& path, absl::string_view how) {
  return absl::AbortedError(absl::StrCat(path, " has changed since the job began: ", how));
}

absl::Status ResizedInput(const std::string& path, int64_t was, int64_t is) {
  return ChangedInput(path, absl::StrCat("it had ", was, " bytes and has ", is, " now"));
}

absl::StatusOr<FileDescriptor> OpenToRead(const std::string& path, FileStamp* stamp = nullptr) {
  // With O_NONBLOCK, opening a pipe does not wait for a writer.
  FileDescriptor fd(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (fd.get() < 0) return FileError(errno, "open", path);
  struct stat info;
  if (fstat(fd.get(), &info) != 0) return FileError(errno, "inspect", path);
  if (!S_ISREG(info.st_mode)) {
    return absl::InvalidArgumentError(absl::StrCat(
        path,
        " is not a regular file, and a job reads its input more than once; give a regular file"));
  }
  if (stamp != nullptr) *stamp = StampOf(info);
  return fd;
}

// As long as the longer name.
constexpr size_t kGrammarNameBytes = 17;

bool NamesGrammar(absl::string_view text) {
  return absl::StrContains(text, "\"response_format\"") || absl::StrContains(text, "\"grammar\"");
}

}  // namespace

absl::StatusOr<LineReader> LineReader::Open(const std::string& path, int64_t max_bytes) {
  LineReader reader;
  SLUICE_ASSIGN_OR_RETURN(reader.fd_, OpenToRead(path));
  reader.path_ = path;
  reader.max_bytes_ = max_bytes;
  return reader;
}

absl::StatusOr<LineReader> LineReader::OpenInput(const std::string& path, int64_t max_bytes,
                                                 const InputSummary* summary) {
  SLUICE_ASSIGN_OR_RETURN(LineReader reader, Open(path, max_bytes));
  reader.summary_ = summary;
  return reader;
}

size_t LineReader::ReadSize() const {
  if (summary_ == nullptr) return kInputChunkBytes;
  const int64_t left = summary_->num_bytes - static_cast<int64_t>(chunks_ * kInputChunkBytes);
  return static_cast<size_t>(std::clamp<int64_t>(left, 0, kInputChunkBytes));
}

absl::StatusOr<bool> LineReader::Fill() {
  buffer_.erase(0, begin_);
  begin_ = 0;
  const size_t held = buffer_.size();
  const size_t wanted = ReadSize();
  buffer_.resize(held + wanted);
  absl::StatusOr<size_t> n = ReadChunk(fd_.get(), buffer_.data() + held, wanted, path_);
  buffer_.resize(held + (n.ok() ? *n : 0));
  SLUICE_RETURN_IF_ERROR(n.status());
  if (summary_ != nullptr && wanted > 0) {
    const int64_t chunk_begin = static_cast<int64_t>(chunks_ * kInputChunkBytes);
    if (*n < wanted)
      return ResizedInput(path_, summary_->num_bytes, chunk_begin + static_cast<int64_t>(*n));
    if (Checksum(absl::string_view(buffer_).substr(held)) != summary_->chunk_checksums[chunks_]) {
      return ChangedInput(path_,
                          absl::StrCat("other bytes lie between byte ", chunk_begin, " and byte ",
                                       chunk_begin + static_cast<int64_t>(*n)));
    }
    ++chunks_;
  }
  return *n > 0;
}

absl::StatusOr<bool> LineReader::Next(Line* line) {
  if (number_ == 0 && offset_ == 0) {
    if (buffer_.empty()) SLUICE_RETURN_IF_ERROR(Fill().status());
    if (absl::StartsWith(buffer_, kUtf8Mark)) offset_ = begin_ = kUtf8Mark.size();
  }
  *line = {number_ + 1, offset_, {}, false, false};
  size_t looked = 0;    // of the line that begins at begin_
  int64_t dropped = 0;  // of its bytes, which were in the buffer
  bool more = true;
  size_t end;
  while ((end = buffer_.find('\n', begin_ + looked)) == std::string::npos) {
    looked = buffer_.size() - begin_;
    // Of a line that is too long, only the beginning stays.
    if (looked > static_cast<size_t>(max_bytes_) + 1) {
      line->too_long = true;
      dropped += static_cast<int64_t>(looked) - max_bytes_;
      buffer_.resize(begin_ + max_bytes_);
      looked = max_bytes_;
    }
    if (!more) break;
    SLUICE_ASSIGN_OR_RETURN(more, Fill());
  }
  line->whole = end != std::string::npos;
  if (!line->whole) {
    end = buffer_.size();
    if (end == begin_ && !line->too_long) return false;
  }
  ++number_;
  line->text = absl::string_view(buffer_).substr(begin_, end - begin_);
  if (!line->too_long) line->text = absl::StripSuffix(line->text, "\r");
  line->too_long |= static_cast<int64_t>(line->text.size()) > max_bytes_;
  line->text = line->text.substr(0, max_bytes_);
  offset_ += static_cast<int64_t>(end - begin_) + dropped + line->whole;
  begin_ = end + line->whole;
  return true;
}

absl::StatusOr<InputSummary> SummarizeInput(const std::string& path) {
  InputSummary summary;
  SLUICE_ASSIGN_OR_RETURN(const FileDescriptor fd, OpenToRead(path, &summary.stamp));
  RunningChecksum checksum;
  std::string chunk(kInputChunkBytes, '\0');
  char last = '\n';
  std::string seam;  // the end of the chunk before, where a name may begin
  while (true) {
    SLUICE_ASSIGN_OR_RETURN(const size_t n, ReadChunk(fd.get(), chunk.data(), chunk.size(), path));
    if (n == 0) break;
    const absl::string_view text(chunk.data(), n);
    if (summary.num_bytes == 0) SLUICE_RETURN_IF_ERROR(CheckByteOrderMark(text, path));
    checksum.Add({reinterpret_cast<const std::byte*>(chunk.data()), n});
    summary.chunk_checksums.push_back(Checksum(text));
    summary.num_lines += std::count(text.begin(), text.end(), '\n');
    summary.num_bytes += static_cast<int64_t>(n);
    last = text.back();
    if (!summary.names_grammars) {
      seam.append(text.substr(0, kGrammarNameBytes).data(), std::min<size_t>(n, kGrammarNameBytes));
      summary.names_grammars = NamesGrammar(seam) || NamesGrammar(text);
      seam.assign(chunk.data() + n - std::min<size_t>(n, kGrammarNameBytes),
                  std::min<size_t>(n, kGrammarNameBytes));
    }
  }
  summary.num_lines += last != '\n';
  summary.checksum = checksum.Value();
  return summary;
}

absl::Status CheckInputUnchanged(const std::string& path, const InputSummary& summary) {
  struct stat info;
  if (stat(path.c_str(), &info) != 0) {
    return errno == ENOENT ? absl::OkStatus() : FileError(errno, "inspect", path);
  }
  if (StampOf(info) == summary.stamp) return absl::OkStatus();
  SLUICE_ASSIGN_OR_RETURN(const InputSummary now, SummarizeInput(path));
  if (now.num_bytes != summary.num_bytes)
    return ResizedInput(path, summary.num_bytes, now.num_bytes);
  return now.checksum == summary.checksum ? absl::OkStatus()
                                          : ChangedInput(path, "it has other bytes now");
}

}  // namespace sluice
