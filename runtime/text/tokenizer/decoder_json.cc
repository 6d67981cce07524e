// Reading decoders from tokenizer.json.
#include <utility>

#include "absl/strings/str_cat.h"
#include "kernels/base/status_macros.h"
#include "runtime/text/tokenizer/component.h"
#include "runtime/text/tokenizer/decoder.h"
#include "runtime/text/tokenizer/unicode.h"
#include "storage/file/json.h"

namespace sluice {
namespace {

using nlohmann::json;

constexpr int64_t kMaxStrip = 1 << 20;

absl::Status ReadStrip(const json& component, DecoderStep* step) {
  SLUICE_RETURN_IF_ERROR(CheckKeys(component, {"type", "content", "start", "stop"}));
  SLUICE_ASSIGN_OR_RETURN(const uint32_t character, CharacterMember(component, "content"));
  AppendUtf8(character, &step->content);
  SLUICE_ASSIGN_OR_RETURN(step->start, JsonInt(component, "start"));
  SLUICE_ASSIGN_OR_RETURN(step->stop, JsonInt(component, "stop"));
  if (step->start < 0 || step->start > kMaxStrip || step->stop < 0 || step->stop > kMaxStrip) {
    return absl::InvalidArgumentError(absl::StrCat("\"start\" ", step->start, " and \"stop\" ",
                                                   step->stop, " must be 0 to ", kMaxStrip));
  }
  return absl::OkStatus();
}

absl::Status ReadReplace(const json& component, DecoderStep* step) {
  SLUICE_RETURN_IF_ERROR(CheckKeys(component, {"type", "pattern", "content"}));
  SLUICE_ASSIGN_OR_RETURN(const Pattern pattern, Pattern::FromJson(component));
  if (pattern.text() == nullptr) {
    return absl::InvalidArgumentError("a decoder with a Regex pattern is not supported");
  }
  if (pattern.text()->empty()) return absl::InvalidArgumentError("the pattern is empty");
  step->content = *pattern.text();
  SLUICE_ASSIGN_OR_RETURN(step->with, JsonString(component, "content"));
  return absl::OkStatus();
}

absl::Status ReadMetaspace(const json& component, DecoderStep* step) {
  SLUICE_RETURN_IF_ERROR(CheckKeys(component, {"type", "replacement", "prepend_scheme", "split",
                                               "add_prefix_space", "str_rep"}));
  SLUICE_ASSIGN_OR_RETURN(const uint32_t character, CharacterMember(component, "replacement"));
  AppendUtf8(character, &step->content);
  std::string scheme = "always";
  if (JsonFind(component, "prepend_scheme") != nullptr) {
    SLUICE_ASSIGN_OR_RETURN(scheme, JsonString(component, "prepend_scheme"));
  }
  if (scheme != "always" && scheme != "first" && scheme != "never") {
    return absl::InvalidArgumentError(
        absl::StrCat("the prepend_scheme \"", scheme.substr(0, 80), "\" is not known"));
  }
  SLUICE_ASSIGN_OR_RETURN(const bool prefix, BoolOr(component, "add_prefix_space", true));
  step->strips_first = prefix && scheme != "never";
  return absl::OkStatus();
}

absl::Status ReadSteps(const json& component, std::vector<DecoderStep>* steps) {
  SLUICE_ASSIGN_OR_RETURN(const std::string type, ComponentType(component));
  const auto check = [&](std::initializer_list<absl::string_view> keys) {
    return Annotate(CheckKeys(component, keys), type);
  };
  DecoderStep step;
  if (type == "Sequence") {
    SLUICE_RETURN_IF_ERROR(check({"type", "decoders"}));
    const json* members = JsonFind(component, "decoders");
    if (members == nullptr || !members->is_array()) {
      return absl::InvalidArgumentError("Sequence: \"decoders\" is not an array");
    }
    for (const json& member : *members) SLUICE_RETURN_IF_ERROR(ReadSteps(member, steps));
    return absl::OkStatus();
  }
  if (type == "ByteLevel") {
    SLUICE_RETURN_IF_ERROR(check({"type", "add_prefix_space", "trim_offsets", "use_regex"}));
    step.kind = DecoderStep::Kind::kByteLevel;
  } else if (type == "ByteFallback") {
    SLUICE_RETURN_IF_ERROR(check({"type"}));
    step.kind = DecoderStep::Kind::kByteFallback;
  } else if (type == "Fuse") {
    SLUICE_RETURN_IF_ERROR(check({"type"}));
    step.kind = DecoderStep::Kind::kFuse;
  } else if (type == "Strip") {
    step.kind = DecoderStep::Kind::kStrip;
    SLUICE_RETURN_IF_ERROR(Annotate(ReadStrip(component, &step), type));
  } else if (type == "Replace") {
    step.kind = DecoderStep::Kind::kReplace;
    SLUICE_RETURN_IF_ERROR(Annotate(ReadReplace(component, &step), type));
  } else if (type == "Metaspace") {
    step.kind = DecoderStep::Kind::kMetaspace;
    SLUICE_RETURN_IF_ERROR(Annotate(ReadMetaspace(component, &step), type));
  } else if (type == "BPEDecoder") {
    SLUICE_RETURN_IF_ERROR(check({"type", "suffix"}));
    step.kind = DecoderStep::Kind::kSuffix;
    SLUICE_ASSIGN_OR_RETURN(step.content, JsonString(component, "suffix"));
    if (step.content.empty()) return absl::InvalidArgumentError("BPEDecoder: \"suffix\" is empty");
  } else {
    return absl::InvalidArgumentError(
        absl::StrCat("the type \"", type.substr(0, 80), "\" is not supported"));
  }
  steps->push_back(std::move(step));
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::vector<DecoderStep>> ReadDecoder(const json& component) {
  std::vector<DecoderStep> steps;
  if (component.is_null()) {
    steps.emplace_back();
  } else {
    SLUICE_RETURN_IF_ERROR(ReadSteps(component, &steps));
  }
  return steps;
}

}  // namespace sluice
