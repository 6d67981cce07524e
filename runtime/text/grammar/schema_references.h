// Finds the places that "$ref" names in one document: by JSON pointer, by anchor, or by the URI of
// a schema in it.
#ifndef SLUICE_RUNTIME_TEXT_GRAMMAR_SCHEMA_REFERENCES_H_
#define SLUICE_RUNTIME_TEXT_GRAMMAR_SCHEMA_REFERENCES_H_

#include <cstddef>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "runtime/text/grammar/json_value.h"

namespace sluice::grammar {

// A schema and where it stands, for messages: "#/properties/name".
struct SchemaAt {
  const JsonValue* schema;
  std::string path;
};

// Returns the place of `child`, which `parent` has under `key`. A long path loses its middle, so
// that a schema of many members with long names needs little memory.
SchemaAt ChildOf(const SchemaAt& parent, absl::string_view key, const JsonValue* child);

// Drafts 4 to 2020-12 are read alike. "$id" and draft 4's "id" give a schema a URI and its
// references a base; "$anchor", "$dynamicAnchor" and an id of just "#name" give it a name.
class SchemaReferences {
 public:
  // `root` must outlive this object.
  explicit SchemaReferences(const JsonValue* root);

  // Returns the place that `ref`, in the schema at `from`, names. The fragment of `ref` is
  // percent-decoded (RFC 6901, section 6). InvalidArgument: the document has no such place; the
  // message is worded to follow the reference.
  absl::StatusOr<SchemaAt> Resolve(const SchemaAt& from, absl::string_view ref) const;

 private:
  void Index(const SchemaAt& at, size_t base);
  // Follows a pointer ("/a/b") from `start`; a null schema: it leads nowhere.
  static SchemaAt Follow(const SchemaAt& start, absl::string_view pointer);

  const JsonValue& root_;
  std::vector<std::string> bases_ = {""};       // URIs, without fragments
  std::map<const JsonValue*, size_t> base_of_;  // of schemas that contain references
  std::map<std::string, SchemaAt> resources_;   // by URI, without a fragment
  std::map<std::string, SchemaAt> anchors_;     // by URI, '#' and name
};

}  // namespace sluice::grammar

#endif  // SLUICE_RUNTIME_TEXT_GRAMMAR_SCHEMA_REFERENCES_H_
