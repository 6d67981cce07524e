// Follows transformers step by step: PreTrainedTokenizerBase._from_pretrained and
// TokenizersBackend.__init__ collect the tokens, add_tokens of the tokenizers library gives them
// ids.
#include "runtime/text/tokenizer/token_files.h"

#include <algorithm>
#include <array>
#include <map>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "kernels/base/status_macros.h"
#include "storage/file/json.h"

namespace sluice {
namespace {

using nlohmann::json;

constexpr std::array<absl::string_view, 7> kStandardNames = {
    "bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"};

bool IsStandardName(absl::string_view name) {
  return std::find(kStandardNames.begin(), kStandardNames.end(), name) != kStandardNames.end();
}

std::string ShownContent(absl::string_view content) {
  return absl::StrCat("\"", absl::Utf8SafeCEscape(content.substr(0, 80)), "\"");
}

// Notes the keys of a document's object and of the objects in it.
class KeyOrder : public nlohmann::json_sax<json> {
 public:
  explicit KeyOrder(TokenFile* file) : file_(file) {}

  bool null() override { return true; }
  bool boolean(bool) override { return true; }
  bool number_integer(number_integer_t) override { return true; }
  bool number_unsigned(number_unsigned_t) override { return true; }
  bool number_float(number_float_t, const string_t&) override { return true; }
  bool string(string_t&) override { return true; }
  bool binary(binary_t&) override { return true; }
  bool start_object(std::size_t) override { return ++depth_ > 0; }
  bool end_object() override { return --depth_ >= 0; }
  bool start_array(std::size_t) override { return ++depth_ > 0; }
  bool end_array() override { return --depth_ >= 0; }
  bool parse_error(std::size_t, const std::string&, const nlohmann::detail::exception&) override {
    return false;
  }

  bool key(string_t& value) override {
    if (depth_ == 1) file_->keys.push_back(value);
    if (depth_ == 2) file_->keys_of[file_->keys.back()].push_back(value);
    return true;
  }

 private:
  TokenFile* file_;
  int depth_ = 0;
};

// The keys of `file`'s member `key`, an object, in the file's order.
std::vector<std::string> KeysOf(const TokenFile& file, const char* key) {
  const auto found = file.keys_of.find(key);
  return found == file.keys_of.end() ? std::vector<std::string>() : found->second;
}

// A token of a file. A string has the flags of a special token.
struct FileToken {
  AddedToken token;
  bool is_string = false;
  bool of_map = false;  // an object of special_tokens_map.json
  // A member bos_token, ... of a file: a listed token of this text takes its place
  bool standard = false;
  const TokenFile* file = nullptr;

  // Returns equal keys for tokens that are equal in Python.
  std::string Key() const {
    const char flags[] = {
        static_cast<char>('0' + is_string),         static_cast<char>('0' + token.special),
        static_cast<char>('0' + token.normalized),  static_cast<char>('0' + token.lstrip),
        static_cast<char>('0' + token.single_word), static_cast<char>('0' + token.rstrip)};
    return absl::StrCat(absl::string_view(flags, sizeof(flags)), token.content);
  }
};

// Tokens with names, in the order in which the names came first. The last token of a name counts.
class NamedList {
 public:
  using Entry = std::pair<std::string, FileToken>;

  void Set(const std::string& name, const FileToken& token) {
    const auto [place, is_new] = places_.try_emplace(name, entries_.size());
    if (is_new) entries_.emplace_back(name, token);
    entries_[place->second].second = token;
  }
  void SetAll(const NamedList& other) {
    for (const auto& [name, token] : other.entries_) Set(name, token);
  }
  const std::vector<Entry>& entries() const { return entries_; }

 private:
  std::vector<Entry> entries_;
  absl::flat_hash_map<std::string, size_t> places_;
};

absl::Status NoToken(const TokenFile& file, absl::string_view where, absl::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat(file.name, ": ", where, " is not a token: ", why));
}

// A string, or an object with content and flags. `always_special` is the rule of
// special_tokens_map.json.
absl::StatusOr<FileToken> ParseFileToken(const TokenFile& file, const std::string& where,
                                         const json& value, bool always_special) {
  FileToken parsed;
  parsed.file = &file;
  AddedToken& token = parsed.token;
  if (value.is_string()) {
    parsed.is_string = true;
    token.content = value.get<std::string>();
    token.special = true;
    token.normalized = false;
    return parsed;
  }
  if (!value.is_object()) return NoToken(file, where, "neither a string nor an object");
  const auto content = value.find("content");
  if (content == value.end() || !content->is_string())
    return NoToken(file, where, "\"content\" is not a string");
  token.content = content->get<std::string>();
  absl::Status status;
  const auto flag = [&](const char* key, bool otherwise) {
    const auto found = value.find(key);
    if (found == value.end() || found->is_null()) return otherwise;
    if (!found->is_boolean())
      status = NoToken(file, where, absl::StrCat("\"", key, "\" is neither true nor false"));
    return found->is_boolean() && found->get<bool>();
  };
  token.special = flag("special", always_special) || always_special;
  token.single_word = flag("single_word", false);
  token.lstrip = flag("lstrip", false);
  token.rstrip = flag("rstrip", false);
  token.normalized = flag("normalized", !token.special);
  parsed.of_map = always_special;
  if (!status.ok()) return status;
  return parsed;
}

// Collects the tokens of the files, before it is known which of them the tokenizer has.
class TokenCollector {
 public:
  explicit TokenCollector(const TokenFiles& files)
      : files_(files), legacy_(JsonFind(files.config.content, kDecoder) == nullptr) {}

  absl::Status Run() {
    SLUICE_RETURN_IF_ERROR(ReadConfig());
    if (legacy_) SLUICE_RETURN_IF_ERROR(ReadSpecialTokensMap());
    if (!has_extra_) extra_ = std::move(additional_);
    return legacy_ ? ReadAddedTokens() : ReadDecoder();
  }

  // Returns whether there is no added_tokens_decoder; the tokens of tokenizer.json then count as
  // listed, too.
  bool legacy() const { return legacy_; }
  // The tokens of added_tokens_decoder, else of added_tokens.json, by id.
  const std::map<int64_t, FileToken>& listed() const { return listed_; }
  const absl::flat_hash_map<std::string, FileToken>& by_content() const { return by_content_; }
  // The tokens of the lists.
  const std::vector<FileToken>& extra() const { return extra_; }

  // The standard names in their order, then the model's own.
  NamedList Named() const {
    NamedList all = standard_, sorted;
    all.SetAll(automatic_);
    all.SetAll(specific_);
    for (const absl::string_view name : kStandardNames) {
      for (const NamedList::Entry& entry : all.entries()) {
        if (entry.first == name) sorted.Set(entry.first, entry.second);
      }
    }
    sorted.SetAll(all);
    return sorted;
  }

 private:
  static constexpr char kDecoder[] = "added_tokens_decoder";

  absl::StatusOr<std::vector<FileToken>> ReadList(const TokenFile& file, const char* key,
                                                  bool always_special) const {
    std::vector<FileToken> tokens;
    const json* list = JsonFind(file.content, key);
    if (list == nullptr) return tokens;
    if (!list->is_array())
      return NoToken(file, absl::StrCat("\"", key, "\""), "neither a list nor an object");
    for (const json& value : *list) {
      const std::string where = absl::StrCat("member ", tokens.size(), " of \"", key, "\"");
      SLUICE_ASSIGN_OR_RETURN(FileToken token, ParseFileToken(file, where, value, always_special));
      tokens.push_back(std::move(token));
    }
    return tokens;
  }

  // {"image_token": "<image>", ...}
  absl::Status ReadObject(const TokenFile& file, const char* key, NamedList* named) const {
    const json* object = JsonFind(file.content, key);
    if (object == nullptr) return absl::OkStatus();
    if (!object->is_object()) return NoToken(file, absl::StrCat("\"", key, "\""), "not an object");
    for (const std::string& name : KeysOf(file, key)) {
      const json& value = *object->find(name);
      if (value.is_null()) continue;
      const std::string where = absl::StrCat("\"", name.substr(0, 80), "\" in \"", key, "\"");
      SLUICE_ASSIGN_OR_RETURN(const FileToken token, ParseFileToken(file, where, value, false));
      named->Set(name, token);
    }
    return absl::OkStatus();
  }

  // Reads the file's members that are a token by themselves: those with a standard name, and others
  // whose name ends like one.
  absl::Status ReadMembers(const TokenFile& file, bool always_special) {
    for (const std::string& name : file.keys) {
      const json& value = *file.content.find(name);
      if (!absl::EndsWith(name, "_token") || value.is_null()) continue;
      const bool standard = IsStandardName(name);
      const bool token_object = value.is_object() && (always_special || value.contains("__type"));
      if (!standard && !value.is_string() && !token_object) continue;
      const std::string where = absl::StrCat("\"", name.substr(0, 80), "\"");
      SLUICE_ASSIGN_OR_RETURN(FileToken token, ParseFileToken(file, where, value, always_special));
      token.standard = standard;
      const bool specific = token.is_string && &file == &files_.config;
      (standard ? standard_ : specific ? specific_ : automatic_).Set(name, token);
    }
    return absl::OkStatus();
  }

  absl::Status ReadConfig() {
    const TokenFile& config = files_.config;
    SLUICE_RETURN_IF_ERROR(ReadMembers(config, false));
    SLUICE_ASSIGN_OR_RETURN(additional_, ReadList(config, "additional_special_tokens", false));
    const json* extra = JsonFind(config.content, "extra_special_tokens");
    has_extra_ = config.content.contains("extra_special_tokens") &&
                 (extra == nullptr || !extra->is_object());
    const bool extra_names = extra != nullptr && extra->is_object() && !extra->empty();
    if (extra_names) {
      SLUICE_RETURN_IF_ERROR(ReadObject(config, "extra_special_tokens", &specific_));
    } else if (extra != nullptr && !extra->empty()) {
      SLUICE_ASSIGN_OR_RETURN(extra_, ReadList(config, "extra_special_tokens", false));
    } else if (config.content.contains("additional_special_tokens")) {
      extra_ = std::move(additional_);
      additional_.clear();
      has_extra_ = true;
    }
    // Names that stand elsewhere in the config take this member's place.
    if (!specific_.entries().empty()) return absl::OkStatus();
    return ReadObject(config, "model_specific_special_tokens", &specific_);
  }

  absl::Status ReadSpecialTokensMap() {
    const TokenFile& map = files_.special_tokens_map;
    SLUICE_RETURN_IF_ERROR(ReadMembers(map, true));
    if (map.content.contains("additional_special_tokens")) {
      SLUICE_ASSIGN_OR_RETURN(additional_, ReadList(map, "additional_special_tokens", true));
    }
    const json* extra = JsonFind(map.content, "extra_special_tokens");
    if (extra != nullptr && extra->is_object())
      return ReadObject(map, "extra_special_tokens", &specific_);
    SLUICE_ASSIGN_OR_RETURN(std::vector<FileToken> more,
                            ReadList(map, "extra_special_tokens", true));
    absl::flat_hash_set<std::string> known;
    for (const FileToken& token : extra_) known.insert(token.Key());
    for (const FileToken& token : more) {
      if (known.insert(token.Key()).second) extra_.push_back(token);
    }
    has_extra_ = has_extra_ || extra != nullptr;
    return absl::OkStatus();
  }

  absl::Status ReadDecoder() {
    const json& decoder = *JsonFind(files_.config.content, kDecoder);
    if (!decoder.is_object()) {
      return absl::InvalidArgumentError(
          absl::StrCat(files_.config.name, ": \"", kDecoder, "\" is not an object"));
    }
    for (const std::string& key : KeysOf(files_.config, kDecoder)) {
      const json& value = *decoder.find(key);
      const std::string where = absl::StrCat("\"", key.substr(0, 80), "\" in \"", kDecoder, "\"");
      int64_t id = 0;
      if (!absl::SimpleAtoi(key, &id)) return NoToken(files_.config, where, "the key is not an id");
      if (!value.is_object()) return NoToken(files_.config, where, "not an object");
      SLUICE_ASSIGN_OR_RETURN(const FileToken token,
                              ParseFileToken(files_.config, where, value, false));
      List(id, token);
    }
    return absl::OkStatus();
  }

  absl::Status ReadAddedTokens() {
    absl::flat_hash_set<std::string> special;
    // Here transformers compares texts, and objects of tokenizer_config.json are no tokens yet.
    const auto note = [&](const FileToken& token) {
      if (token.is_string || token.of_map) special.insert(token.token.content);
    };
    for (const NamedList::Entry& entry : standard_.entries()) note(entry.second);
    if (has_extra_) std::for_each(extra_.begin(), extra_.end(), note);
    for (const std::string& content : files_.added_tokens.keys) {
      const json& id = *files_.added_tokens.content.find(content);
      if (!id.is_number_integer()) {
        return NoToken(files_.added_tokens, ShownContent(content), "its id is not an integer");
      }
      FileToken token;
      token.file = &files_.added_tokens;
      token.token.content = content;
      token.token.special = special.contains(content);
      token.token.normalized = !token.token.special;
      List(id.get<int64_t>(), token);
    }
    return absl::OkStatus();
  }

  void List(int64_t id, const FileToken& token) {
    listed_[id] = by_content_[token.token.content] = token;
  }

  const TokenFiles& files_;
  const bool legacy_;  // there is no added_tokens_decoder
  NamedList standard_;
  NamedList automatic_, specific_;  // the model's own names: members of a file, and what
                                    // transformers sorts behind them
  std::vector<FileToken> extra_;
  std::vector<FileToken> additional_;  // counts if nothing else makes `extra_`
  bool has_extra_ = false;
  std::map<int64_t, FileToken> listed_;
  // Holds `listed_`, and the tokens whose id came twice.
  absl::flat_hash_map<std::string, FileToken> by_content_;
};

// A token of tokenizer.json and its place in "added_tokens".
struct PresentToken {
  FileToken token;
  size_t place;
};

// The members of "added_tokens" that can be read. TokenizerBuilder reports the others.
std::vector<PresentToken> ReadPresent(const TokenFile& file, const json& added_tokens) {
  std::vector<PresentToken> present;
  for (size_t i = 0; i < added_tokens.size(); ++i) {
    const absl::StatusOr<int64_t> id = JsonInt(added_tokens[i], "id");
    absl::StatusOr<FileToken> token = ParseFileToken(file, "", added_tokens[i], false);
    if (!token.ok() || !id.ok() || *id < 0 || *id >= kMaxTokenId) continue;
    token->token.id = static_cast<int32_t>(*id);
    present.push_back({*std::move(token), i});
  }
  return present;
}

// Returns the tokens that are to be added, in this order, or that take new flags.
std::vector<FileToken> TokensToAdd(const TokenCollector& files,
                                   const std::vector<PresentToken>& present) {
  std::map<int64_t, FileToken> listed = files.listed();
  absl::flat_hash_map<std::string, FileToken> by_content = files.by_content();
  absl::flat_hash_set<std::string> known;
  for (const PresentToken& p : present) {
    known.insert(p.token.token.content);
    if (files.legacy()) listed[p.token.token.id] = by_content[p.token.token.content] = p.token;
  }
  std::vector<FileToken> tokens;
  absl::flat_hash_set<std::string> keys;  // of `tokens`
  for (const auto& [id, token] : listed) {
    known.insert(token.token.content);
    keys.insert(token.Key());
    tokens.push_back(token);
  }
  const auto add = [&](const FileToken& token) {
    if (!known.contains(token.token.content) && keys.insert(token.Key()).second)
      tokens.push_back(token);
  };
  absl::flat_hash_set<std::string> named_texts;
  const NamedList named = files.Named();
  for (const auto& [name, token] : named.entries()) {
    named_texts.insert(token.token.content);
    const auto found = by_content.find(token.token.content);
    add(token.standard && found != by_content.end() ? found->second : token);
  }
  for (const FileToken& token : files.extra()) add(token);
  for (FileToken& token : tokens) token.token.special |= named_texts.contains(token.token.content);
  return tokens;
}

// A member of "added_tokens".
json DocumentMember(const AddedToken& token) {
  return {{"id", token.id},          {"content", token.content}, {"single_word", token.single_word},
          {"lstrip", token.lstrip},  {"rstrip", token.rstrip},   {"normalized", token.normalized},
          {"special", token.special}};
}

}  // namespace

absl::StatusOr<TokenFiles> ReadTokenFiles(TokenFileReader read) {
  TokenFiles files;
  for (const auto& [name, file] : {std::pair("tokenizer_config.json", &files.config),
                                   {"special_tokens_map.json", &files.special_tokens_map},
                                   {"added_tokens.json", &files.added_tokens}}) {
    SLUICE_ASSIGN_OR_RETURN(const auto named_text, read(name));
    file->name = named_text.first;
    if (!named_text.second.has_value()) continue;
    const std::string& text = *named_text.second;
    SLUICE_ASSIGN_OR_RETURN(file->content, ParseJson(text, file->name));
    if (!file->content.is_object()) {
      return absl::InvalidArgumentError(absl::StrCat(file->name, ": not an object"));
    }
    KeyOrder order(file);
    ReadJsonEvents(text, &order);
  }
  return files;
}

absl::StatusOr<NamedTokens> FindNamedTokens(const TokenFiles& files) {
  TokenCollector collector(files);
  SLUICE_RETURN_IF_ERROR(collector.Run());
  NamedTokens found;
  const NamedList named = collector.Named();
  for (const auto& [name, token] : named.entries())
    found.by_name.emplace_back(name, token.token.content);
  for (const FileToken& token : collector.extra()) found.more.push_back(token.token.content);
  return found;
}

absl::StatusOr<json> MergeAddedTokens(const TokenFiles& files, const Vocabulary& vocabulary,
                                      json added_tokens) {
  TokenCollector collector(files);
  SLUICE_RETURN_IF_ERROR(collector.Run());
  if (added_tokens.is_null()) added_tokens = json::array();
  if (!added_tokens.is_array()) return added_tokens;  // TokenizerBuilder reports it
  const TokenFile unnamed;
  const std::vector<PresentToken> present = ReadPresent(unnamed, added_tokens);
  int64_t next_id = vocabulary.size();
  absl::flat_hash_map<std::string, size_t> places;  // in added_tokens, by content
  for (const PresentToken& p : present) {
    next_id = std::max(next_id, int64_t{p.token.token.id} + 1);
    places.try_emplace(p.token.token.content, p.place);
  }
  for (const FileToken& add : TokensToAdd(collector, present)) {
    AddedToken token = add.token;
    if (token.content.empty()) continue;
    const auto refuse = [&](absl::string_view why) {
      return absl::InvalidArgumentError(absl::StrCat(
          add.file->name, ": the token ", ShownContent(token.content), " cannot be added: ", why));
    };
    if (token.content.size() > kMaxAddedTokenBytes) {
      return refuse(
          absl::StrCat("it has ", token.content.size(), " bytes; at most ", kMaxAddedTokenBytes));
    }
    if (const auto place = places.find(token.content); place != places.end()) {
      json& old = added_tokens[place->second];
      token.id = old["id"].get<int32_t>();
      old = DocumentMember(token);
      continue;
    }
    token.id = vocabulary.Find(token.content);
    if (token.id < 0) {
      if (vocabulary.Contains(next_id))
        return refuse(absl::StrCat("the next id, ", next_id, ", is another token's"));
      if (next_id >= kMaxTokenId)
        return refuse(absl::StrCat("the next id is ", next_id, "; at most ", kMaxTokenId - 1));
      token.id = static_cast<int32_t>(next_id++);
    }
    places.emplace(token.content, added_tokens.size());
    added_tokens.push_back(DocumentMember(token));
  }
  return added_tokens;
}

}  // namespace sluice
