// Hands what the files name to templates.
#include "runtime/chat/special_tokens.h"

#include <string>
#include <utility>

#include "kernels/base/status_macros.h"
#include "runtime/text/tokenizer/token_files.h"

namespace sluice {

absl::StatusOr<TemplateVariables> ReadSpecialTokens(const ModelFiles& files) {
  SLUICE_ASSIGN_OR_RETURN(const TokenFiles token_files, files.ReadTokenFiles());
  SLUICE_ASSIGN_OR_RETURN(const NamedTokens named, FindNamedTokens(token_files));
  TemplateVariables tokens;
  for (const auto& [name, text] : named.by_name) {
    tokens.emplace_back(jinja::Value::String(name), jinja::Value::String(text));
  }
  std::vector<jinja::Value> more;
  for (const std::string& text : named.more) more.push_back(jinja::Value::String(text));
  if (more.empty()) return tokens;
  tokens.emplace_back(jinja::Value::String("additional_special_tokens"),
                      jinja::Value::List(std::move(more)));
  return tokens;
}

}  // namespace sluice
