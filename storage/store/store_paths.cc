// Tells a store from an unfinished one and from other folders.
#include "storage/store/store_paths.h"

#include <sys/stat.h>

#include <cerrno>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "kernels/base/status_macros.h"
#include "storage/file/durable_file.h"
#include "storage/file/input_file.h"
#include "storage/source/gguf.h"
#include "storage/store/repair_advice.h"
#include "storage/store/store_geometry.h"

namespace sluice {
namespace {

constexpr int64_t kMaxManifestBytes = int64_t{1} << 30;

bool Exists(const std::string& path) {
  struct stat info;
  return stat(path.c_str(), &info) == 0;
}

}  // namespace

absl::StatusOr<Manifest> ReadManifest(const std::string& dir) {
  struct stat info;
  if (stat(dir.c_str(), &info) != 0) {
    if (errno == ENOENT) return absl::NotFoundError(absl::StrCat(dir, ": no such folder"));
    return FileError(errno, "open", dir);
  }
  if (!S_ISDIR(info.st_mode)) {
    return absl::NotFoundError(absl::StrCat(
        dir, IsGgufFile(dir)
                 ? absl::StrCat(": a GGUF file; make a layer store of it by `sluice shard ", dir,
                                " STORE`")
                 : ": a file; a layer store is a folder"));
  }
  if (Exists(absl::StrCat(dir, "/", kUnfinishedFile))) {
    return absl::FailedPreconditionError(
        absl::StrCat(dir, ": unfinished: run the same `sluice shard` again"));
  }
  const std::string path = absl::StrCat(dir, "/", kManifestFile);
  if (!Exists(path)) {
    return absl::NotFoundError(absl::StrCat(dir, ": no layer store: ", kManifestFile, " is missing",
                                            Exists(absl::StrCat(dir, "/config.json"))
                                                ? "; make one of this checkpoint by `sluice shard`"
                                            : Exists(absl::StrCat(dir, "/", kRecordFile))
                                                ? absl::StrCat("; ", kRepairAdvice)
                                                : ""));
  }
  SLUICE_ASSIGN_OR_RETURN(const std::string text, ReadTextFile(path, kMaxManifestBytes));
  absl::StatusOr<Manifest> manifest = ParseManifest(text, path);
  if (!absl::IsDataLoss(manifest.status())) return manifest;
  return absl::DataLossError(absl::StrCat(manifest.status().message(), "; ", kRepairAdvice));
}

absl::StatusOr<ShardRecord> ReadSealedRecord(const std::string& dir) {
  const std::string path = absl::StrCat(dir, "/", kRecordFile);
  if (!Exists(path)) return absl::NotFoundError(absl::StrCat(path, ": missing"));
  SLUICE_ASSIGN_OR_RETURN(const std::string text, ReadTextFile(path, kMaxManifestBytes));
  return ParseSealedRecord(text, path);
}

std::string MtpHeadDir(const std::string& dir) { return absl::StrCat(dir, "/", kMtpFolder); }

std::string MtpHeadDirOf(const std::string& dir, const Manifest& manifest) {
  return manifest.hyper_parameters.num_mtp_heads > 0 ? MtpHeadDir(dir) : "";
}

std::string SlabFilePath(const std::string& dir, const Manifest& manifest, int file) {
  const ManifestFile& entry = manifest.files[file];
  const std::string& root = manifest.roots[entry.root];
  if (root == ".") return absl::StrCat(dir, "/", entry.path);
  if (absl::StartsWith(root, "/")) return absl::StrCat(root, "/", entry.path);
  return absl::StrCat(dir, "/", root, "/", entry.path);
}

std::string ResidentDamage(const std::string& path, const ManifestTensor& tensor, uint64_t got) {
  return absl::StrCat(path, ": tensor ", tensor.name, " at byte ", tensor.offset, ": XXH3 ",
                      ChecksumToHex(got), ", the manifest says ", ChecksumToHex(tensor.checksum),
                      "; ", kRepairAdvice);
}

}  // namespace sluice
