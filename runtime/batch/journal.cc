// Reads and writes records.
#include "runtime/batch/journal.h"

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "kernels/base/status_macros.h"
#include "storage/file/durable_file.h"
#include "storage/store/manifest.h"

namespace sluice {
namespace {

static_assert(std::endian::native == std::endian::little, "the file is little-endian");
static_assert(sizeof(JournalEntry) == 16);

constexpr char kJournalMagic[] = "sluiceJ1";
// More entries than any pass has tokens; also bounds what a damaged count can make us read.
constexpr uint32_t kMaxEntries = 1 << 20;

struct RecordHead {
  uint32_t num_entries;
  uint32_t zero;
  uint64_t checksum;
};
static_assert(sizeof(RecordHead) == 16);

uint64_t ChecksumOf(absl::Span<const JournalEntry> entries) {
  return Checksum(
      {reinterpret_cast<const std::byte*>(entries.data()), entries.size() * sizeof(JournalEntry)});
}

void AppendRecord(absl::Span<const JournalEntry> entries, std::string* out) {
  const RecordHead head = {static_cast<uint32_t>(entries.size()), 0, ChecksumOf(entries)};
  out->append(reinterpret_cast<const char*>(&head), sizeof(head));
  out->append(reinterpret_cast<const char*>(entries.data()), entries.size() * sizeof(JournalEntry));
}

std::string Header(uint64_t job_hash) {
  std::string header(kJournalMagic, 8);
  header.append(reinterpret_cast<const char*>(&job_hash), sizeof(job_hash));
  return header;
}

// Gives all whole records to `on_entry`; returns where they end.
int64_t ReadRecords(FILE* file, absl::FunctionRef<void(const JournalEntry&)> on_entry) {
  int64_t end = Journal::kHeaderBytes;
  std::vector<JournalEntry> entries;
  RecordHead head;
  while (std::fread(&head, sizeof(head), 1, file) == 1) {
    if (head.num_entries == 0 || head.num_entries > kMaxEntries || head.zero != 0) break;
    entries.resize(head.num_entries);
    if (std::fread(entries.data(), sizeof(JournalEntry), entries.size(), file) != entries.size())
      break;
    if (ChecksumOf(entries) != head.checksum) break;
    for (const JournalEntry& entry : entries) on_entry(entry);
    end += static_cast<int64_t>(sizeof(head) + entries.size() * sizeof(JournalEntry));
  }
  return end;
}

}  // namespace

absl::StatusOr<Journal> Journal::Open(const std::string& path, uint64_t job_hash,
                                      absl::FunctionRef<void(const JournalEntry&)> on_entry) {
  Journal journal;
  journal.job_hash_ = job_hash;
  SLUICE_ASSIGN_OR_RETURN(journal.file_, AppendFile::Open(path));
  const std::string header = Header(job_hash);
  const std::unique_ptr<FILE, int (*)(FILE*)> file(std::fopen(path.c_str(), "rbe"), &std::fclose);
  if (file == nullptr) return FileError(errno, "open", path);
  char found[kHeaderBytes];
  const size_t n = std::fread(found, 1, sizeof(found), file.get());
  const bool torn = n < sizeof(found) && std::memcmp(found, header.data(), n) == 0;
  if (torn) {  // new, or killed before the header was whole
    SLUICE_RETURN_IF_ERROR(journal.file_.Truncate(0));
    SLUICE_RETURN_IF_ERROR(journal.file_.Append(header));
    return journal;
  }
  if (std::memcmp(found, header.data(), n) != 0) {
    return absl::FailedPreconditionError(
        absl::StrCat(path, ": not the journal of this job; remove it, or give another -o"));
  }
  const int64_t end = ReadRecords(file.get(), on_entry);
  if (std::ferror(file.get())) return FileError(EIO, "read", path);
  if (end < journal.file_.size()) SLUICE_RETURN_IF_ERROR(journal.file_.Truncate(end));
  return journal;
}

void Journal::Read(const std::string& path, absl::FunctionRef<void(const JournalEntry&)> on_entry) {
  const std::unique_ptr<FILE, int (*)(FILE*)> file(std::fopen(path.c_str(), "rbe"), &std::fclose);
  if (file == nullptr || std::fseek(file.get(), kHeaderBytes, SEEK_SET) != 0) return;
  ReadRecords(file.get(), on_entry);
}

absl::Status Journal::Append(absl::Span<const JournalEntry> entries) {
  if (entries.empty()) return absl::OkStatus();
  std::string record;
  AppendRecord(entries, &record);
  return file_.Append(record);
}

absl::Status Journal::Rewrite(absl::Span<const JournalEntry> entries) {
  std::string text = Header(job_hash_);
  for (; !entries.empty(); entries.remove_prefix(std::min<size_t>(entries.size(), kMaxEntries))) {
    AppendRecord(entries.first(std::min<size_t>(entries.size(), kMaxEntries)), &text);
  }
  const std::string path = file_.path();
  const size_t slash = path.rfind('/');
  const std::string dir = slash == std::string::npos ? "."
                          : slash == 0               ? "/"
                                                     : path.substr(0, slash);
  SLUICE_RETURN_IF_ERROR(WriteFileAtomically(dir, path.substr(slash + 1), text));
  SLUICE_ASSIGN_OR_RETURN(file_, AppendFile::Open(path));
  return absl::OkStatus();
}

}  // namespace sluice
