// Continues a text: generate STORE TEXT.
#include <iostream>

#include "runtime/open/open.h"

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  sluice::OpenOptions options;
  options.store = argv[1];
  options.max_ram_bytes = 64 << 20;  // for everything
  const auto opened = sluice::Open(options);
  if (!opened.ok()) {
    std::cerr << opened.status() << "\n";
    return 1;
  }
  sluice::Opened& model = **opened;
  sluice::SequenceRequest request;
  request.prompt = *model.tokenizer()->Encode(argv[2], {});
  request.max_new_tokens = 16;
  request.sampler.temperature = 0;
  request.on_token = [](int32_t, absl::string_view text) { std::cout << text << std::flush; };
  if (const auto id = model.engine->Submit(std::move(request)); !id.ok()) {
    std::cerr << id.status() << "\n";
    return 1;
  }
  while (!model.engine->idle()) {
    if (const auto step = model.engine->Step(); !step.ok()) {
      std::cerr << step.status() << "\n";
      return 1;
    }
  }
  std::cout << "\n";
}
