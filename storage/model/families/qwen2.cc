// Qwen 2 and 2.5, dense.
#include "storage/model/families/parts.h"
#include "storage/model/families/registry.h"

namespace sluice {

constexpr Family kQwen2Family = {
    .architecture = "Qwen2ForCausalLM",
    .model_type = "qwen2",
    .gguf_architecture = "qwen2",
    .config = kQwen2Config,
    .append_layer = AppendPlainLayer,
    .is_70b = [](const HyperParameters& h) { return h.num_hidden_layers == 80; },
};

}  // namespace sluice
