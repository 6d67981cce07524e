// What messages about a damaged store advise.
#ifndef SLUICE_STORAGE_STORE_REPAIR_ADVICE_H_
#define SLUICE_STORAGE_STORE_REPAIR_ADVICE_H_

namespace sluice {

inline constexpr char kRepairAdvice[] =
    "`sluice shard --repair MODEL STORE` writes the damaged files again from the checkpoint";

}  // namespace sluice

#endif  // SLUICE_STORAGE_STORE_REPAIR_ADVICE_H_
