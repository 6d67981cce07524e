// Buffered reading of lines.
#include "runtime/batch/line_reader.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "absl/types/span.h"
#include "kernels/status_macros.h"
#include "storage/running_checksum.h"

namespace sluice {
namespace {

constexpr size_t kReadBytes = size_t{256} << 10;

absl::StatusOr<size_t> ReadSome(int fd, char* out, size_t bytes, const std::string& path) {
  while (true) {
    const ssize_t n = read(fd, out, bytes);
    if (n >= 0) return static_cast<size_t>(n);
    if (errno != EINTR) return FileError(errno, "read", path);
  }
}

absl::StatusOr<FileDescriptor> OpenToRead(const std::string& path) {
  // Opening a pipe does not wait for somebody who writes it, then.
  FileDescriptor fd(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (fd.get() < 0) return FileError(errno, "open", path);
  struct stat info;
  if (fstat(fd.get(), &info) != 0) return FileError(errno, "inspect", path);
  if (!S_ISREG(info.st_mode)) {
    return absl::InvalidArgumentError(absl::StrCat(path, " is no regular file: it is read more than once"));
  }
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

absl::StatusOr<bool> LineReader::Fill() {
  buffer_.erase(0, begin_);
  begin_ = 0;
  const size_t held = buffer_.size();
  buffer_.resize(held + kReadBytes);
  absl::StatusOr<size_t> n = ReadSome(fd_.get(), buffer_.data() + held, kReadBytes, path_);
  buffer_.resize(held + (n.ok() ? *n : 0));
  SLUICE_RETURN_IF_ERROR(n.status());
  return *n > 0;
}

absl::StatusOr<bool> LineReader::Next(Line* line) {
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
  SLUICE_ASSIGN_OR_RETURN(const FileDescriptor fd, OpenToRead(path));
  InputSummary summary;
  RunningChecksum checksum;
  std::string chunk(kReadBytes, '\0');
  char last = '\n';
  std::string seam;  // the end of the chunk before, where a name may begin
  while (true) {
    SLUICE_ASSIGN_OR_RETURN(const size_t n, ReadSome(fd.get(), chunk.data(), chunk.size(), path));
    if (n == 0) break;
    checksum.Add({reinterpret_cast<const std::byte*>(chunk.data()), n});
    summary.num_lines += std::count(chunk.begin(), chunk.begin() + n, '\n');
    summary.num_bytes += static_cast<int64_t>(n);
    last = chunk[n - 1];
    if (!summary.names_grammars) {
      const absl::string_view text(chunk.data(), n);
      seam.append(text.substr(0, kGrammarNameBytes).data(), std::min<size_t>(n, kGrammarNameBytes));
      summary.names_grammars = NamesGrammar(seam) || NamesGrammar(text);
      seam.assign(chunk.data() + n - std::min<size_t>(n, kGrammarNameBytes), std::min<size_t>(n, kGrammarNameBytes));
    }
  }
  summary.num_lines += last != '\n';
  summary.checksum = checksum.Value();
  return summary;
}

}  // namespace sluice
