// Resolves URIs by RFC 3986, section 5.2; nothing is ever fetched.
#include "runtime/text/grammar/schema_references.h"

#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"

namespace sluice::grammar {
namespace {

using Kind = JsonValue::Kind;

constexpr size_t kLongestUri = 500;  // longer URIs of schemas are not kept; there may be many

// Characters behind a '%' that are no two hexadecimal digits are left as they are.
std::string PercentDecoded(absl::string_view text) {
  std::string decoded;
  for (size_t i = 0; i < text.size(); ++i) {
    uint32_t byte;
    const absl::string_view digits = text.substr(i + 1, 2);
    if (text[i] == '%' && digits.size() == 2 && absl::ascii_isxdigit(digits[0]) &&
        absl::ascii_isxdigit(digits[1]) && absl::SimpleHexAtoi(digits, &byte)) {
      decoded.push_back(static_cast<char>(byte));
      i += 2;
    } else {
      decoded.push_back(text[i]);
    }
  }
  return decoded;
}

// A URI without its fragment, in parts: "http:", "//host", "/path/name", "?query".
struct UriParts {
  absl::string_view scheme, authority, path, query;
};

UriParts SplitUri(absl::string_view uri) {
  UriParts parts;
  const size_t colon = uri.find_first_of(":/?");
  if (colon != absl::string_view::npos && colon > 0 && uri[colon] == ':') {
    parts.scheme = uri.substr(0, colon + 1);
    uri.remove_prefix(colon + 1);
  }
  if (absl::StartsWith(uri, "//")) {
    parts.authority = uri.substr(0, uri.find_first_of("/?", 2));
    uri.remove_prefix(parts.authority.size());
  }
  parts.path = uri.substr(0, uri.find('?'));
  parts.query = uri.substr(parts.path.size());
  return parts;
}

std::string WithoutDots(absl::string_view path) {
  std::vector<absl::string_view> kept;
  const std::vector<absl::string_view> segments = absl::StrSplit(path, '/');
  for (size_t i = 0; i < segments.size(); ++i) {
    const bool last = i + 1 == segments.size();
    if (segments[i] == "." || segments[i] == "..") {
      if (segments[i] == ".." && kept.size() > 1) kept.pop_back();
      if (last) kept.push_back("");
    } else {
      kept.push_back(segments[i]);
    }
  }
  return absl::StrJoin(kept, "/");
}

std::string ResolvedUri(absl::string_view base, absl::string_view reference) {
  if (reference.empty()) return std::string(base);
  const UriParts b = SplitUri(base), r = SplitUri(reference);
  if (!r.scheme.empty()) return std::string(reference);
  if (!r.authority.empty()) return absl::StrCat(b.scheme, reference);
  const std::string begin = absl::StrCat(b.scheme, b.authority);
  if (r.path.empty()) return absl::StrCat(begin, b.path, r.query);
  if (r.path[0] == '/') return absl::StrCat(begin, WithoutDots(r.path), r.query);
  const size_t slash = b.path.rfind('/');
  const absl::string_view folder =
      slash == absl::string_view::npos ? "" : b.path.substr(0, slash + 1);
  return absl::StrCat(
      begin,
      WithoutDots(absl::StrCat(folder.empty() && !b.authority.empty() ? "/" : folder, r.path)),
      r.query);
}

// Returns the id of a schema that has one: a text, unlike the description of a property named "id".
const std::string* IdOf(const JsonValue& schema) {
  for (const absl::string_view keyword : {"$id", "id"}) {
    const JsonValue* const id = schema.Find(keyword);
    if (id != nullptr && id->is(Kind::kString)) return &id->text;
  }
  return nullptr;
}

std::pair<absl::string_view, absl::string_view> SplitFragment(absl::string_view uri) {
  const size_t hash = uri.find('#');
  if (hash == absl::string_view::npos) return {uri, ""};
  return {uri.substr(0, hash), uri.substr(hash + 1)};
}

}  // namespace

SchemaAt ChildOf(const SchemaAt& parent, absl::string_view key, const JsonValue* child) {
  constexpr size_t kLongest = 300;
  std::string path = absl::StrCat(
      parent.path, "/", absl::StrReplaceAll(key.substr(0, kLongest), {{"~", "~0"}, {"/", "~1"}}));
  if (path.size() > kLongest) path.replace(kLongest / 3, path.size() - kLongest * 2 / 3, "...");
  return {child, std::move(path)};
}

SchemaReferences::SchemaReferences(const JsonValue* root) : root_(*root) { Index({root, "#"}, 0); }

void SchemaReferences::Index(const SchemaAt& at, size_t base) {
  const JsonValue& value = *at.schema;
  if (value.is(Kind::kObject)) {
    if (const std::string* const id = IdOf(value); id != nullptr) {
      const auto [uri, name] = SplitFragment(*id);
      if (!uri.empty() && bases_[base].size() + uri.size() <= kLongestUri) {
        bases_.push_back(ResolvedUri(bases_[base], uri));
        base = bases_.size() - 1;
        resources_.try_emplace(bases_[base], at);
      }
      if (!name.empty()) anchors_.try_emplace(absl::StrCat(bases_[base], "#", name), at);
    }
    for (const absl::string_view keyword : {"$anchor", "$dynamicAnchor"}) {
      const JsonValue* const name = value.Find(keyword);
      if (name != nullptr && name->is(Kind::kString)) {
        anchors_.try_emplace(absl::StrCat(bases_[base], "#", name->text), at);
      }
    }
    if (value.Find("$ref") != nullptr) base_of_[&value] = base;
  }
  if (&value == &root_) resources_.try_emplace(bases_[base], at);
  for (size_t i = 0; i < value.items.size(); ++i) {
    const std::string key = value.is(Kind::kArray) ? absl::StrCat(i) : value.keys[i];
    // These hold values, not schemas.
    if (key == "enum" || key == "const" || key == "default" || key == "examples" ||
        key == "example")
      continue;
    Index(ChildOf(at, key, &value.items[i]), base);
  }
}

SchemaAt SchemaReferences::Follow(const SchemaAt& start, absl::string_view pointer) {
  SchemaAt place = start;
  if (pointer.empty()) return place;
  for (const absl::string_view part : absl::StrSplit(pointer.substr(1), '/')) {
    const std::string key = absl::StrReplaceAll(part, {{"~1", "/"}, {"~0", "~"}});
    const JsonValue* next = place.schema->Find(key);
    size_t index;
    if (place.schema->is(Kind::kArray) && absl::SimpleAtoi(key, &index) &&
        index < place.schema->items.size()) {
      next = &place.schema->items[index];
    }
    if (next == nullptr) return {nullptr, ""};
    place = ChildOf(place, key, next);
  }
  return place;
}

absl::StatusOr<SchemaAt> SchemaReferences::Resolve(const SchemaAt& from,
                                                   absl::string_view ref) const {
  const auto [uri, encoded] = SplitFragment(ref);
  const std::string fragment = PercentDecoded(encoded);
  const auto base = base_of_.find(from.schema);
  const std::string resource = ResolvedUri(base == base_of_.end() ? "" : bases_[base->second], uri);
  const auto found = resources_.find(resource);
  if (found == resources_.end() && !uri.empty()) {
    return absl::InvalidArgumentError(
        "is not supported: only places in this document are, such as #/$defs/name");
  }
  SchemaAt place{nullptr, ""};
  if (fragment.empty() || fragment[0] == '/') {
    if (found != resources_.end()) place = Follow(found->second, fragment);
    // Some generators give schemas ids and yet mean the whole document by "#".
    if (place.schema == nullptr && uri.empty()) place = Follow({&root_, "#"}, fragment);
  } else if (const auto anchor = anchors_.find(absl::StrCat(resource, "#", fragment));
             anchor != anchors_.end()) {
    place = anchor->second;
  }
  if (place.schema == nullptr) return absl::InvalidArgumentError("points at nothing");
  return place;
}

}  // namespace sluice::grammar
