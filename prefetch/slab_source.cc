// Gives leases back.
#include "prefetch/slab_source.h"

#include <utility>

namespace sluice {

Lease::Lease(Lease&& other) noexcept
    : source_(std::exchange(other.source_, nullptr)), grant_(std::exchange(other.grant_, {})) {}

Lease& Lease::operator=(Lease&& other) noexcept {
  Lease taken(std::move(other));  // takes the lease that was held here along, and drops it
  std::swap(source_, taken.source_);
  std::swap(grant_, taken.grant_);
  return *this;
}

Lease::~Lease() {
  if (source_ != nullptr) source_->Release(grant_);
}

}  // namespace sluice
