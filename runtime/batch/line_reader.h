// Reads a file line by line in bounded memory, however long its lines and however many.
#ifndef SLUICE_RUNTIME_BATCH_LINE_READER_H_
#define SLUICE_RUNTIME_BATCH_LINE_READER_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "storage/durable_file.h"

namespace sluice {

class LineReader {
 public:
  struct Line {
    int64_t number;          // from 1
    int64_t offset;          // of its first byte
    absl::string_view text;  // without its end ("\n" or "\r\n"); valid until the next call
    bool too_long;           // longer than the limit: `text` is its beginning
    bool whole;              // a newline ends it
  };

  // Lines of up to `max_bytes` are given whole. Errors of FileError; InvalidArgument: no regular file.
  static absl::StatusOr<LineReader> Open(const std::string& path, int64_t max_bytes);

  // The next line into `line`; false at the end of the file. Unavailable: it cannot be read.
  absl::StatusOr<bool> Next(Line* line);

 private:
  // Reads more behind what the buffer holds; false at the end.
  absl::StatusOr<bool> Fill();

  FileDescriptor fd_;
  std::string path_;
  int64_t max_bytes_ = 0;
  std::string buffer_;
  size_t begin_ = 0;    // of the next line in buffer_
  int64_t offset_ = 0;  // of begin_ in the file
  int64_t number_ = 0;
};

// What the file's bytes are, in one walk over it.
struct InputSummary {
  uint64_t checksum = 0;  // XXH3-64
  int64_t num_lines = 0;  // blank ones too
  int64_t num_bytes = 0;
  bool names_grammars = false;  // a line has "response_format" or "grammar" in it, as a member or otherwise
};
absl::StatusOr<InputSummary> SummarizeInput(const std::string& path);

}  // namespace sluice

#endif  // SLUICE_RUNTIME_BATCH_LINE_READER_H_
