// Finds families in the registry.
#include "storage/model/families/registry.h"

#include "absl/base/macros.h"

namespace sluice {

absl::Span<const Family* const> Families() {
#define SLUICE_LIST_FAMILY(name) &name,
  static constexpr const Family* kFamilies[] = {SLUICE_FAMILIES(SLUICE_LIST_FAMILY)};
#undef SLUICE_LIST_FAMILY
  return kFamilies;
}

const Family* FindFamily(absl::string_view architecture) {
  for (const Family* family : Families()) {
    if (family->architecture == architecture) return family;
  }
  return nullptr;
}

const Family& FamilyOf(const HyperParameters& h) {
  const Family* const family = FindFamily(h.architecture);
  ABSL_ASSERT(family != nullptr);
  return *family;
}

}  // namespace sluice
