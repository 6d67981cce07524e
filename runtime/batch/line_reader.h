// Reads a file line by line in bounded memory, whatever the length and number of its lines, and
// notices when a job's input has changed since the job was planned.
#ifndef SLUICE_RUNTIME_BATCH_LINE_READER_H_
#define SLUICE_RUNTIME_BATCH_LINE_READER_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "storage/file/durable_file.h"

namespace sluice {

// What stat tells about a file: another value means that somebody may have changed the file.
struct FileStamp {
  uint64_t device = 0;
  uint64_t inode = 0;
  int64_t bytes = 0;
  int64_t modified_ns = 0;  // since 1970
  int64_t changed_ns = 0;   // the same, of the inode
  bool operator==(const FileStamp&) const = default;
};

// Facts about the input of a job, found in one walk over it.
struct InputSummary {
  uint64_t checksum = 0;  // XXH3-64
  int64_t num_lines = 0;  // blank ones too
  int64_t num_bytes = 0;
  bool names_grammars =
      false;        // a line has "response_format" or "grammar" in it, as a member or otherwise
  FileStamp stamp;  // taken before the walk
  // XXH3-64 of each kInputChunkBytes; the last chunk may be shorter.
  std::vector<uint64_t> chunk_checksums;
};
inline constexpr size_t kInputChunkBytes = size_t{256} << 10;

// Unavailable: the file cannot be read. InvalidArgument: it is no regular file, or its byte order
// mark says UTF-16 or UTF-32.
absl::StatusOr<InputSummary> SummarizeInput(const std::string& path);

// Aborted: says how the bytes of `path` differ from the summarized ones. A file that was only
// touched, or that is gone by now, has not changed.
absl::Status CheckInputUnchanged(const std::string& path, const InputSummary& summary);

class LineReader {
 public:
  struct Line {
    int64_t number;  // from 1
    // Where its first byte is; a byte order mark stands in front of the first line's
    int64_t offset;
    absl::string_view text;  // without its end ("\n" or "\r\n"); valid until the next call
    bool too_long;           // longer than the limit: `text` is its beginning
    bool whole;              // a newline ends it
  };

  // Lines of up to `max_bytes` come whole. A byte order mark (UTF-8) at the beginning of the file
  // is skipped. Errors of FileError. InvalidArgument: no regular file.
  static absl::StatusOr<LineReader> Open(const std::string& path, int64_t max_bytes);
  // Opens a file that was summarized: Next returns only lines of the bytes that it had then.
  // `summary` must outlive the reader.
  static absl::StatusOr<LineReader> OpenInput(const std::string& path, int64_t max_bytes,
                                              const InputSummary* summary);

  // Reads the next line into `line`; false at the end of the file. Unavailable: it cannot be read.
  // Aborted: the file has changed since it was summarized, as CheckInputUnchanged says. Bytes that
  // were appended since then are not read.
  absl::StatusOr<bool> Next(Line* line);

 private:
  // Reads more behind the buffer's content; false at the end.
  absl::StatusOr<bool> Fill();
  // Returns how many bytes of the file Fill may read next.
  size_t ReadSize() const;

  FileDescriptor fd_;
  std::string path_;
  int64_t max_bytes_ = 0;
  const InputSummary* summary_ = nullptr;
  size_t chunks_ = 0;  // chunks of summary_ that were read
  std::string buffer_;
  size_t begin_ = 0;    // where the next line begins in buffer_
  int64_t offset_ = 0;  // of begin_ in the file
  int64_t number_ = 0;
};

}  // namespace sluice

#endif  // SLUICE_RUNTIME_BATCH_LINE_READER_H_
