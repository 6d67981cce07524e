// All families that sluice runs: one line each.
#ifndef SLUICE_STORAGE_MODEL_FAMILIES_REGISTRY_H_
#define SLUICE_STORAGE_MODEL_FAMILIES_REGISTRY_H_

#include "storage/model/families/family.h"

// In the order in which messages list them. Each is defined in a file of its own.
#define SLUICE_FAMILIES(FAMILY) \
  FAMILY(kLlamaFamily)          \
  FAMILY(kMistralFamily)        \
  FAMILY(kQwen2Family)          \
  FAMILY(kQwen3Family)          \
  FAMILY(kMimoFamily)           \
  FAMILY(kSeedOssFamily)

namespace sluice {

#define SLUICE_DECLARE_FAMILY(name) extern const Family name;
SLUICE_FAMILIES(SLUICE_DECLARE_FAMILY)
#undef SLUICE_DECLARE_FAMILY

}  // namespace sluice

#endif  // SLUICE_STORAGE_MODEL_FAMILIES_REGISTRY_H_
