// A SAX reader that diverts the vocabulary and the merges out of the document it builds.
#include "runtime/text/tokenizer/tokenizer_file.h"

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "kernels/base/status_macros.h"
#include "runtime/text/tokenizer/component.h"
#include "runtime/text/tokenizer/unicode.h"
#include "storage/file/json.h"
#include "storage/file/lfs_pointer.h"

namespace sluice {
namespace {

using nlohmann::json;

constexpr uintmax_t kMaxFileBytes = uintmax_t{512} << 20;
constexpr int64_t kMaxDocumentValues = int64_t{1} << 20;  // outside of vocabulary and merges

class Reader : public nlohmann::json_sax<json> {
 public:
  enum class Source : uint8_t { kTokenizerJson, kVocabJson };

  Reader(Source source, TokenizerFile* file) : source_(source), file_(file) {}

  absl::Status status() const { return status_; }

  bool null() override { return Value(json(nullptr)); }
  bool boolean(bool value) override { return Value(json(value)); }
  bool number_float(number_float_t value, const string_t&) override { return Value(json(value)); }
  bool binary(binary_t&) override { return false; }

  bool number_integer(number_integer_t value) override {
    return place_ == Place::kVocabulary ? Token(value) : Value(json(value));
  }

  bool number_unsigned(number_unsigned_t value) override {
    if (place_ != Place::kVocabulary) return Value(json(value));
    return Token(value > INT64_MAX ? INT64_MAX : static_cast<int64_t>(value));
  }

  bool string(string_t& value) override {
    switch (place_) {
      case Place::kMerges:
        return MergeLine(value);
      case Place::kMergePair:
        pair_.push_back(std::move(value));
        return pair_.size() <= 2 ||
               Fail(absl::StrCat("merge ", file_->merges.size(), " has more than two parts"));
      default:
        return Value(json(std::move(value)));
    }
  }

  bool key(string_t& value) override {
    if (place_ == Place::kDocument && open_.back()->contains(value)) {
      return Fail(absl::StrCat("the key \"", absl::Utf8SafeCEscape(value.substr(0, 80)),
                               "\" appears twice in one object"));
    }
    key_ = std::move(value);
    return true;
  }

  bool start_object(std::size_t) override {
    if (place_ != Place::kDocument) return Misplaced("an object");
    if (source_ == Source::kVocabJson || At("vocab")) {
      if (source_ == Source::kTokenizerJson) Add(json(nullptr));
      place_ = Place::kVocabulary;
      return true;
    }
    return Open(json::object());
  }

  bool end_object() override {
    if (place_ == Place::kVocabulary) {
      place_ = Place::kDocument;
    } else {
      open_.pop_back();
    }
    return true;
  }

  bool start_array(std::size_t) override {
    if (place_ == Place::kMerges) {
      place_ = Place::kMergePair;
      pair_.clear();
      return true;
    }
    if (place_ != Place::kDocument || source_ == Source::kVocabJson) return Misplaced("an array");
    if (At("merges")) {
      Add(json(nullptr));
      place_ = Place::kMerges;
      return true;
    }
    if (At("vocab")) {
      return Fail("the vocab of the model is an array, not {token: id} as BPE has it");
    }
    return Open(json::array());
  }

  bool end_array() override {
    switch (place_) {
      case Place::kMerges:
        place_ = Place::kDocument;
        return true;
      case Place::kMergePair:
        place_ = Place::kMerges;
        if (pair_.size() != 2) {
          return Fail(absl::StrCat("merge ", file_->merges.size(), " has ", pair_.size(),
                                   " parts, expected 2"));
        }
        file_->merges.Add(pair_[0], pair_[1]);
        return true;
      default:
        open_.pop_back();
        return true;
    }
  }

  bool parse_error(std::size_t position, const std::string&,
                   const nlohmann::detail::exception&) override {
    return Fail(absl::StrCat("not valid JSON at byte ", position));
  }

 private:
  // The reader's place. kDocument -> kVocabulary -> kDocument at model.vocab (in vocab.json, at the
  // top); kDocument -> kMerges -> kDocument at model.merges, with kMergePair for ["a", "b"].
  enum class Place : uint8_t { kDocument, kVocabulary, kMerges, kMergePair };

  bool Fail(absl::string_view message) {
    if (status_.ok()) status_ = absl::InvalidArgumentError(message);
    return false;
  }

  bool Misplaced(absl::string_view found) {
    if (place_ == Place::kVocabulary || source_ == Source::kVocabJson) {
      return Fail(absl::StrCat("the id of the token \"", absl::Utf8SafeCEscape(key_.substr(0, 80)),
                               "\" is ", found, ", expected an integer"));
    }
    return Fail(
        absl::StrCat("merge ", file_->merges.size(), " is or holds ", found, ", expected strings"));
  }

  // Whether the coming value is member `key` of the object "model".
  bool At(absl::string_view key) const {
    return open_.size() == 2 && open_.back() == model_ && key_ == key;
  }

  bool Token(int64_t id) {
    const absl::Status added = file_->vocabulary.Add(key_, id);
    return added.ok() || Fail(added.message());
  }

  bool MergeLine(absl::string_view line) {
    const size_t space = line.find(' ');
    if (space == absl::string_view::npos || line.find(' ', space + 1) != absl::string_view::npos) {
      return Fail(absl::StrCat("merge ", file_->merges.size(), " (\"",
                               absl::Utf8SafeCEscape(line.substr(0, 80)),
                               "\") is not two parts with a space between"));
    }
    file_->merges.Add(line.substr(0, space), line.substr(space + 1));
    return true;
  }

  bool Value(json value) {
    if (place_ != Place::kDocument || source_ == Source::kVocabJson) {
      return Misplaced(value.type_name());
    }
    if (++values_ > kMaxDocumentValues) {
      return Fail(absl::StrCat("more than ", kMaxDocumentValues,
                               " values outside of vocabulary and merges"));
    }
    Add(std::move(value));
    return true;
  }

  json* Add(json value) {
    if (open_.empty()) return &(file_->document = std::move(value));
    json& parent = *open_.back();
    if (parent.is_array()) {
      parent.push_back(std::move(value));
      return &parent.back();
    }
    return &(parent[key_] = std::move(value));
  }

  bool Open(json container) {
    if (open_.size() >= kMaxJsonDepth) {
      return Fail(absl::StrCat("JSON nested deeper than ", kMaxJsonDepth));
    }
    if (++values_ > kMaxDocumentValues) {
      return Fail(absl::StrCat("more than ", kMaxDocumentValues,
                               " values outside of vocabulary and merges"));
    }
    const bool is_model = open_.size() == 1 && open_[0]->is_object() && key_ == "model";
    json* const placed = Add(std::move(container));
    open_.push_back(placed);
    if (is_model) model_ = placed;
    return true;
  }

  const Source source_;
  TokenizerFile* const file_;
  Place place_ = Place::kDocument;
  std::vector<json*> open_;  // members of objects and last elements of arrays stay in place
  json* model_ = nullptr;
  std::string key_;
  std::vector<std::string> pair_;
  int64_t values_ = 0;
  absl::Status status_;
};

template <typename Parse>
absl::Status Read(Reader::Source source, absl::string_view what, TokenizerFile* file, Parse parse) {
  Reader reader(source, file);
  const bool parsed = parse(&reader);
  absl::Status status = reader.status();
  if (status.ok() && !parsed) status = absl::InvalidArgumentError("not valid JSON");
  if (status.ok()) status = file->vocabulary.Finish();
  return Annotate(status, what);
}

absl::Status OpenFile(const std::string& path, std::ifstream* stream) {
  std::error_code error;
  const uintmax_t bytes = std::filesystem::file_size(path, error);
  if (error) return absl::ErrnoToStatus(error.value(), absl::StrCat("cannot open ", path));
  if (bytes > kMaxFileBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": ", bytes, " bytes; at most ", kMaxFileBytes));
  }
  errno = 0;
  stream->open(path, std::ios::binary);
  if (!stream->is_open()) return absl::ErrnoToStatus(errno, absl::StrCat("cannot open ", path));
  char start[16];
  stream->read(start, sizeof(start));
  SLUICE_RETURN_IF_ERROR(
      CheckNoLfsPointer(absl::string_view(start, static_cast<size_t>(stream->gcount())), path));
  stream->clear();
  stream->seekg(0);
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<TokenizerFile> ReadTokenizerJson(const std::string& path) {
  std::ifstream stream;
  SLUICE_RETURN_IF_ERROR(OpenFile(path, &stream));
  TokenizerFile file;
  SLUICE_RETURN_IF_ERROR(Read(Reader::Source::kTokenizerJson, path, &file,
                              [&](Reader* reader) { return ReadJsonEvents(stream, reader); }));
  return file;
}

absl::StatusOr<TokenizerFile> ParseTokenizerJson(absl::string_view text, absl::string_view what) {
  TokenizerFile file;
  SLUICE_RETURN_IF_ERROR(Read(Reader::Source::kTokenizerJson, what, &file,
                              [&](Reader* reader) { return ReadJsonEvents(text, reader); }));
  return file;
}

absl::StatusOr<TokenizerFile> ReadVocabAndMerges(const std::string& vocab_path,
                                                 const std::string& merges_path) {
  TokenizerFile file;
  file.document = json::object();
  std::ifstream vocab, merges;
  SLUICE_RETURN_IF_ERROR(OpenFile(vocab_path, &vocab));
  SLUICE_RETURN_IF_ERROR(Read(Reader::Source::kVocabJson, vocab_path, &file,
                              [&](Reader* reader) { return ReadJsonEvents(vocab, reader); }));
  SLUICE_RETURN_IF_ERROR(OpenFile(merges_path, &merges));
  std::string line;
  for (int64_t number = 1; std::getline(merges, line); ++number) {
    if (!line.empty() && line.back() == '\r') line.pop_back();
    if (line.empty() || absl::StartsWith(line, "#version")) continue;
    const size_t space = line.find(' ');
    const bool one_space =
        space != std::string::npos && line.find(' ', space + 1) == std::string::npos;
    std::string valid;
    AppendLossyUtf8(line, &valid);
    if (!one_space || valid != line) {
      return absl::InvalidArgumentError(absl::StrCat(
          merges_path, ": line ", number, " is not two parts in UTF-8 with a space between"));
    }
    file.merges.Add(line.substr(0, space), line.substr(space + 1));
  }
  if (merges.bad()) return absl::DataLossError(absl::StrCat("cannot read ", merges_path));
  return file;
}

}  // namespace sluice
