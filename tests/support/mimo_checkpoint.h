// bard-6.7M and the head that was trained for it, as one checkpoint of MiMo's layout.
#ifndef SLUICE_TESTS_SUPPORT_MIMO_CHECKPOINT_H_
#define SLUICE_TESTS_SUPPORT_MIMO_CHECKPOINT_H_

#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tests/support/data_file.h"

namespace sluice {

// A tensor in bf16.
struct MimoTensor {
  std::vector<int64_t> shape;
  std::vector<uint16_t> values;
};
using MimoTensors = std::map<std::string, MimoTensor>;

// Adds the tensors of a file of bf16 tensors, below tests/data.
inline void AddTensors(const std::string& path, MimoTensors* tensors) {
  const std::string bytes = ReadData(path);
  ASSERT_GT(bytes.size(), 8) << path;
  uint64_t header_bytes = 0;
  std::memcpy(&header_bytes, bytes.data(), 8);
  const auto header = nlohmann::json::parse(bytes.substr(8, header_bytes));
  for (const auto& [name, entry] : header.items()) {
    if (name == "__metadata__") continue;
    ASSERT_EQ(entry["dtype"], "BF16") << name;
    const size_t begin = entry["data_offsets"][0];
    const size_t end = entry["data_offsets"][1];
    MimoTensor& tensor = (*tensors)[name];
    tensor.shape = entry["shape"].get<std::vector<int64_t>>();
    tensor.values.resize((end - begin) / 2);
    std::memcpy(tensor.values.data(), bytes.data() + 8 + header_bytes + begin, end - begin);
  }
}

inline void WriteTensors(const std::string& path, const MimoTensors& tensors) {
  nlohmann::json header;
  size_t offset = 0;
  for (const auto& [name, tensor] : tensors) {
    const size_t end = offset + 2 * tensor.values.size();
    header[name] = {{"dtype", "BF16"}, {"shape", tensor.shape}, {"data_offsets", {offset, end}}};
    offset = end;
  }
  const std::string text = header.dump();
  const uint64_t header_bytes = text.size();
  std::ofstream file(path, std::ios::binary);
  file.write(reinterpret_cast<const char*>(&header_bytes), 8)
      .write(text.data(), static_cast<std::streamsize>(text.size()));
  for (const auto& [name, tensor] : tensors) {
    file.write(reinterpret_cast<const char*>(tensor.values.data()),
               static_cast<std::streamsize>(2 * tensor.values.size()));
  }
}

// Writes the checkpoint to the new folder `dir`. `edit` may change, take away or add tensors.
inline void WriteMimoCheckpoint(const std::string& dir,
                                const std::function<void(MimoTensors*)>& edit = nullptr,
                                int num_heads = 1) {
  namespace fs = std::filesystem;
  const std::string bard = std::string(SLUICE_SOURCE_DIR) + "/tests/data/models/bard-6.7M/";
  fs::create_directory(dir);
  for (const char* const name :
       {"tokenizer.json", "tokenizer_config.json", "generation_config.json"}) {
    fs::copy(bard + name, dir);
  }
  auto config = nlohmann::json::parse(ReadFileOrNothing(bard + "config.json"));
  config["architectures"] = {"MiMoForCausalLM"};
  config["model_type"] = "mimo";
  config["num_nextn_predict_layers"] = num_heads;
  std::ofstream(dir + "/config.json") << config;
  MimoTensors tensors;
  AddTensors("models/bard-6.7M/model.safetensors", &tensors);
  AddTensors("models/bard-6.7M-mtp/model.safetensors", &tensors);
  // MiMo's layers have biases, bard's have none.
  const int64_t head_dim = config["head_dim"];
  for (int layer = 0; layer < config["num_hidden_layers"].get<int>(); ++layer) {
    for (const auto& [matrix, heads] :
         {std::pair("q", "num_attention_heads"), std::pair("k", "num_key_value_heads"),
          std::pair("v", "num_key_value_heads")}) {
      const int64_t n = config[heads].get<int64_t>() * head_dim;
      tensors["model.layers." + std::to_string(layer) + ".self_attn." + matrix + "_proj.bias"] = {
          {n}, std::vector<uint16_t>(static_cast<size_t>(n), 0)};
    }
  }
  if (edit) edit(&tensors);
  WriteTensors(dir + "/model.safetensors", tensors);
}

}  // namespace sluice

#endif  // SLUICE_TESTS_SUPPORT_MIMO_CHECKPOINT_H_
