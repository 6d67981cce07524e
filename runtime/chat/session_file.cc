// One pass over the file each way, through a buffer, with a running checksum.
#include "runtime/chat/session_file.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "kernels/base/status_macros.h"
#include "runtime/kv/kv_rows.h"
#include "storage/file/checksum.h"
#include "storage/file/durable_file.h"
#include "storage/file/input_file.h"
#include "storage/file/json.h"
#include "storage/store/manifest.h"

namespace sluice {
namespace {

using nlohmann::json;

constexpr char kSessionMagic[] = "SLUICECH";
constexpr int64_t kMagicBytes = 8;
constexpr uint32_t kFormatVersion = 1;
constexpr int64_t kMaxHeaderBytes = int64_t{64} << 20;
constexpr int64_t kBufferBytes = int64_t{1} << 20;
constexpr int64_t kChecksumBytes = 8;

template <typename T>
absl::Span<const std::byte> BytesOf(const T& value) {
  return {reinterpret_cast<const std::byte*>(&value), sizeof(T)};
}

class Writer {
 public:
  Writer(const OutputFile* file) : file_(file) { buffer_.reserve(kBufferBytes); }

  absl::Status Add(absl::Span<const std::byte> bytes) {
    checksum_.Add(bytes);
    return Put(bytes);
  }
  // The checksum, and all that was held back.
  absl::Status Finish() {
    const uint64_t checksum = checksum_.Value();
    SLUICE_RETURN_IF_ERROR(Put(BytesOf(checksum)));
    return Flush();
  }

 private:
  absl::Status Put(absl::Span<const std::byte> bytes) {
    if (static_cast<int64_t>(buffer_.size() + bytes.size()) > kBufferBytes)
      SLUICE_RETURN_IF_ERROR(Flush());
    if (static_cast<int64_t>(bytes.size()) > kBufferBytes) {
      SLUICE_RETURN_IF_ERROR(file_->WriteAt(written_, bytes));
      written_ += static_cast<int64_t>(bytes.size());
      return absl::OkStatus();
    }
    buffer_.insert(buffer_.end(), bytes.begin(), bytes.end());
    return absl::OkStatus();
  }
  absl::Status Flush() {
    SLUICE_RETURN_IF_ERROR(file_->WriteAt(written_, buffer_));
    written_ += static_cast<int64_t>(buffer_.size());
    buffer_.clear();
    return absl::OkStatus();
  }

  const OutputFile* const file_;
  std::vector<std::byte> buffer_;
  int64_t written_ = 0;
  RunningChecksum checksum_;
};

class Reader {
 public:
  explicit Reader(const InputFile* file) : file_(file), buffer_(kBufferBytes) {}

  absl::Status Take(absl::Span<std::byte> out) {
    const absl::Span<std::byte> all = out;
    while (!out.empty()) {
      if (at_ == end_) {
        const int64_t count = std::min(kBufferBytes, file_->bytes() - read_);
        if (count <= 0)
          return absl::DataLossError(absl::StrCat(file_->path(), " ends early; save it again"));
        SLUICE_RETURN_IF_ERROR(file_->ReadAllAt(read_, absl::MakeSpan(buffer_).first(count)));
        read_ += count;
        at_ = 0;
        end_ = count;
      }
      const int64_t count = std::min<int64_t>(end_ - at_, static_cast<int64_t>(out.size()));
      std::memcpy(out.data(), buffer_.data() + at_, count);
      at_ += count;
      out.remove_prefix(count);
    }
    checksum_.Add(all);
    return absl::OkStatus();
  }
  template <typename T>
  absl::Status Take(T* value) {
    return Take(absl::Span<std::byte>(reinterpret_cast<std::byte*>(value), sizeof(T)));
  }
  uint64_t checksum() const { return checksum_.Value(); }

 private:
  const InputFile* const file_;
  std::vector<std::byte> buffer_;
  int64_t at_ = 0, end_ = 0;  // what the buffer has left
  int64_t read_ = 0;          // from the file
  RunningChecksum checksum_;
};

json MessagesJson(const std::vector<ChatMessage>& messages) {
  json list = json::array();
  for (const ChatMessage& message : messages) {
    list.push_back(
        {{"role", message.role}, {"content", message.content}, {"reasoning", message.reasoning}});
  }
  return list;
}

absl::StatusOr<std::vector<ChatMessage>> ReadMessages(const json& header) {
  const json* const list = JsonFind(header, "messages");
  if (list == nullptr || !list->is_array())
    return absl::InvalidArgumentError("\"messages\" is not an array");
  std::vector<ChatMessage> messages;
  for (const json& entry : *list) {
    ChatMessage message;
    SLUICE_ASSIGN_OR_RETURN(message.role, JsonString(entry, "role"));
    SLUICE_ASSIGN_OR_RETURN(message.content, JsonString(entry, "content"));
    SLUICE_ASSIGN_OR_RETURN(message.reasoning, JsonString(entry, "reasoning"));
    messages.push_back(std::move(message));
  }
  return messages;
}

// What a session's header says of where it belongs, in the order in which it is compared.
json IdentityJson(const SessionIdentity& identity, const StateLayout& layout) {
  const KvShape& shape = layout.layer(0).kv;  // the store's hash tells what the others are
  return {{"store", ChecksumToHex(identity.store_hash)},
          {"template", ChecksumToHex(identity.template_hash)},
          {"cache_type_k", std::string(KvTypeName(shape.k_type))},
          {"cache_type_v", std::string(KvTypeName(shape.v_type))},
          {"arithmetic", identity.arithmetic},
          {"layers", layout.num_layers()},
          {"kv_heads", shape.num_kv_heads},
          {"head_dim", shape.head_dim}};
}

absl::Status CheckIdentity(const json& header, const SessionIdentity& identity,
                           const StateLayout& layout) {
  const json wanted = IdentityJson(identity, layout);
  const json exact = "exact";
  static constexpr std::pair<const char*, const char*> kNames[] = {
      {"store", "store"},
      {"template", "chat template"},
      {"cache_type_k", "type of keys (-ctk)"},
      {"cache_type_v", "type of values (-ctv)"},
      {"arithmetic", "arithmetic (--fast-math)"},
      {"layers", "number of layers"},
      {"kv_heads", "number of KV heads"},
      {"head_dim", "head_dim"}};
  for (const auto& [key, name] : kNames) {
    const json* found = JsonFind(header, key);
    if (found == nullptr && absl::string_view(key) == "arithmetic")
      found = &exact;  // saved before there was another
    if (found == nullptr)
      return absl::InvalidArgumentError(absl::StrCat("\"", key, "\" is missing"));
    if (*found == wanted[key]) continue;
    const std::string was =
        found->dump(-1, ' ', false, json::error_handler_t::replace).substr(0, 100);
    return absl::FailedPreconditionError(
        absl::StrCat("it was saved with another ", name, ": ", was, ", now ", wanted[key].dump()));
  }
  return absl::OkStatus();
}

absl::Status CheckHeaderRoom(int64_t wanted, int64_t max_bytes) {
  if (wanted <= max_bytes) return absl::OkStatus();
  return absl::ResourceExhaustedError(absl::StrCat(
      "its messages could take ", wanted, " bytes while they are read, and the budget has ",
      max_bytes, " for that; give a larger --max-ram"));
}

absl::StatusOr<json> ReadHeader(Reader& reader, const InputFile& file, int64_t max_bytes) {
  char magic[kMagicBytes];
  uint32_t version, bytes;
  if (file.bytes() < kMagicBytes + 8 + kChecksumBytes)
    return absl::InvalidArgumentError("no session of sluice chat");
  SLUICE_RETURN_IF_ERROR(reader.Take(&magic));
  if (std::memcmp(magic, kSessionMagic, kMagicBytes) != 0)
    return absl::InvalidArgumentError("no session of sluice chat");
  SLUICE_RETURN_IF_ERROR(reader.Take(&version));
  if (version != kFormatVersion) {
    return absl::FailedPreconditionError(absl::StrCat(
        "the session has format ", version, ", this program reads format ", kFormatVersion));
  }
  SLUICE_RETURN_IF_ERROR(reader.Take(&bytes));
  if (bytes > kMaxHeaderBytes || bytes > file.bytes() - kMagicBytes - 8 - kChecksumBytes) {
    return absl::DataLossError(
        absl::StrCat("a header of ", bytes, " bytes in a file of ", file.bytes()));
  }
  SLUICE_RETURN_IF_ERROR(CheckHeaderRoom(bytes, max_bytes));
  std::string text(bytes, '\0');
  SLUICE_RETURN_IF_ERROR(
      reader.Take(absl::Span<std::byte>(reinterpret_cast<std::byte*>(text.data()), bytes)));
  SLUICE_RETURN_IF_ERROR(CheckHeaderRoom(bytes + JsonTreeBytes(text), max_bytes));
  SLUICE_ASSIGN_OR_RETURN(json header, ParseJson(text, "the header"));
  if (!header.is_object()) return absl::InvalidArgumentError("the header is not a JSON object");
  header["header_bytes"] = bytes;
  return header;
}

absl::StatusOr<std::vector<ChatMessage>> Load(const InputFile& file,
                                              const SessionIdentity& identity,
                                              int64_t context_tokens, int64_t max_bytes,
                                              KvCache& cache, CachedTokens* cached) {
  Reader reader(&file);
  SLUICE_ASSIGN_OR_RETURN(const json header, ReadHeader(reader, file, max_bytes));
  SLUICE_RETURN_IF_ERROR(CheckIdentity(header, identity, cache.layout()));
  SLUICE_ASSIGN_OR_RETURN(const int64_t tokens, JsonInt(header, "tokens"));
  SLUICE_ASSIGN_OR_RETURN(const int64_t header_bytes, JsonInt(header, "header_bytes"));
  SLUICE_ASSIGN_OR_RETURN(std::vector<ChatMessage> messages, ReadMessages(header));
  if (tokens < 0)
    return absl::InvalidArgumentError(absl::StrCat("it says that it has ", tokens, " tokens"));
  if (tokens > context_tokens) {
    return absl::FailedPreconditionError(absl::StrCat(
        "it has ", tokens, " tokens, the context only ", context_tokens, "; give a larger -c"));
  }
  const int64_t wanted = kMagicBytes + 8 + header_bytes +
                         tokens * static_cast<int64_t>(sizeof(int32_t)) +
                         KvRowsBytes(cache.layout(), tokens) + kChecksumBytes;
  if (file.bytes() != wanted) {
    return absl::DataLossError(absl::StrCat("it has ", file.bytes(), " bytes where ", tokens,
                                            " tokens take ", wanted, "; cut or damaged"));
  }
  std::vector<int32_t> ids(tokens);
  for (int32_t& id : ids) {
    SLUICE_RETURN_IF_ERROR(reader.Take(&id));
    if (id < 0 || id >= identity.vocab_size) {
      return absl::DataLossError(
          absl::StrCat("token ", id, " is outside the vocabulary of ", identity.vocab_size));
    }
  }
  cached->tokens.clear();
  SLUICE_RETURN_IF_ERROR(cache.Reserve(cached->pages, context_tokens));
  SLUICE_RETURN_IF_ERROR(
      ForEachKvRows(cache, cached->pages, tokens, KvAccess::kWrite,
                    [&](absl::Span<std::byte> bytes) { return reader.Take(bytes); }));
  const uint64_t got = reader.checksum();
  uint64_t want;
  SLUICE_RETURN_IF_ERROR(reader.Take(&want));
  if (got != want) {
    return absl::DataLossError(
        absl::StrCat("XXH3 ", ChecksumToHex(got), ", the file says ", ChecksumToHex(want)));
  }
  cached->tokens = std::move(ids);
  return messages;
}

}  // namespace

absl::Status SaveSession(const std::string& path, const SessionIdentity& identity,
                         const std::vector<ChatMessage>& messages, const KvCache& cache,
                         const CachedTokens& cached) {
  const auto tokens = static_cast<int64_t>(cached.tokens.size());
  json header = IdentityJson(identity, cache.layout());
  header["tokens"] = tokens;
  header["messages"] = MessagesJson(messages);
  const std::string text = header.dump(-1, ' ', false, json::error_handler_t::replace);
  if (static_cast<int64_t>(text.size()) > kMaxHeaderBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": messages of ", text.size(), " bytes are too many"));
  }
  const std::string temporary = path + ".tmp";
  const int64_t bytes = kMagicBytes + 8 +
                        static_cast<int64_t>(text.size() + tokens * sizeof(int32_t)) +
                        KvRowsBytes(cache.layout(), tokens) + kChecksumBytes;
  const auto write = [&]() -> absl::Status {
    SLUICE_ASSIGN_OR_RETURN(const OutputFile file,
                            OutputFile::Create(temporary, bytes, PageCache::kUse));
    Writer writer(&file);
    const auto add = [&](absl::Span<const std::byte> part) { return writer.Add(part); };
    SLUICE_RETURN_IF_ERROR(add({reinterpret_cast<const std::byte*>(kSessionMagic), kMagicBytes}));
    SLUICE_RETURN_IF_ERROR(add(BytesOf(kFormatVersion)));
    const auto header_bytes = static_cast<uint32_t>(text.size());
    SLUICE_RETURN_IF_ERROR(add(BytesOf(header_bytes)));
    SLUICE_RETURN_IF_ERROR(add({reinterpret_cast<const std::byte*>(text.data()), text.size()}));
    SLUICE_RETURN_IF_ERROR(
        add({reinterpret_cast<const std::byte*>(cached.tokens.data()), tokens * sizeof(int32_t)}));
    SLUICE_RETURN_IF_ERROR(ForEachKvRows(cache, cached.pages, tokens, KvAccess::kRead, add));
    SLUICE_RETURN_IF_ERROR(writer.Finish());
    SLUICE_RETURN_IF_ERROR(file.Sync());
    if (std::rename(temporary.c_str(), path.c_str()) != 0)
      return FileError(errno, "rename to", path);
    return absl::OkStatus();
  };
  if (const absl::Status written = write(); !written.ok()) {
    RemoveFile(temporary).IgnoreError();  // the first error is the one to report
    return written;
  }
  const size_t slash = path.rfind('/');
  return SyncFolder(slash == std::string::npos ? "." : slash == 0 ? "/" : path.substr(0, slash));
}

absl::StatusOr<std::vector<ChatMessage>> LoadSession(const std::string& path,
                                                     const SessionIdentity& identity,
                                                     int64_t context_tokens, int64_t max_bytes,
                                                     KvCache& cache, CachedTokens* cached) {
  struct stat info;
  if (stat(path.c_str(), &info) != 0) return FileError(errno, "open", path);
  if (!S_ISREG(info.st_mode)) return absl::InvalidArgumentError(absl::StrCat(path, ": no file"));
  SLUICE_ASSIGN_OR_RETURN(const InputFile file, InputFile::Open(path, PageCache::kUse));
  absl::StatusOr<std::vector<ChatMessage>> messages =
      Load(file, identity, context_tokens, max_bytes, cache, cached);
  if (messages.ok()) return messages;
  return absl::Status(messages.status().code(),
                      absl::StrCat(path, ": ", messages.status().message()));
}

}  // namespace sluice
