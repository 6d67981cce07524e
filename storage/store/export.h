// Takes a tensor out of a store again, in the row order of its encoding.
#ifndef SLUICE_STORAGE_STORE_EXPORT_H_
#define SLUICE_STORAGE_STORE_EXPORT_H_

#include <cstddef>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "storage/store/layer_store.h"

namespace sluice {

// Hands the rows of tensor `tensor` (an index into Manifest::tensors) to `sink`, in order and in
// parts: row-major values of float encodings, GGUF's blocks of quantized ones, f32 for resident
// tensors. A tensor stored with the checkpoint's own dtype comes out as the checkpoint's bytes.
// Memory is bounded. An error of `sink` ends it. DataLoss: a wrong checksum, with file and slab or
// row; `sink` may have been given the bytes by then.
absl::Status ReadTensor(const LayerStore& store, int tensor,
                        absl::FunctionRef<absl::Status(absl::Span<const std::byte>)> sink);

// Writes a tensor's rows to `output_path`, replacing a file of that name once all of it is written
// and verified. Where two tensors have the name (a tied head), the first is written: the embedding,
// whose values are the same. NotFound: no such tensor; similar names are listed.
absl::Status ExportTensor(const LayerStore& store, absl::string_view name,
                          const std::string& output_path);

}  // namespace sluice

#endif  // SLUICE_STORAGE_STORE_EXPORT_H_
