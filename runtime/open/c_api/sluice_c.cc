// The C API over RequestService: checks pointers, copies strings, and turns all errors into codes.
#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/cleanup/cleanup.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "kernels/base/exception_status.h"
#include "kernels/base/mutex.h"
#include "kernels/base/status_macros.h"
#include "nlohmann/json.hpp"
#include "runtime/open/c_api/sluice.h"
#include "runtime/open/open.h"
#include "runtime/open/request_service.h"
#include "runtime/openai/completion_response.h"

struct sluice_model {
  std::unique_ptr<sluice::RequestService> service;
};

namespace sluice {
namespace {

// The caller's on_note. It may be called by any thread, until it is taken away.
class Notes {
 public:
  Notes(void (*on_note)(void*, const char*), void* user) : on_note_(on_note), user_(user) {}
  void Say(const std::string& text) {
    const MutexLock lock(&mutex_);
    if (on_note_ != nullptr) on_note_(user_, text.c_str());
  }
  void TakeAway() {
    const MutexLock lock(&mutex_);
    on_note_ = nullptr;
  }

 private:
  Mutex mutex_;
  void (*on_note_)(void*, const char*) ABSL_GUARDED_BY(mutex_);
  void* const user_;
};

constexpr int64_t kLongestWaitMs = int64_t{24} * 60 * 60 * 1000;

// Of this thread's last failure.
std::string& Message() {
  thread_local std::string message;
  return message;
}

// Runs `work`; an error or an exception becomes a code and this thread's message.
sluice_status Guard(absl::FunctionRef<absl::Status()> work) {
  const absl::Status status = CatchExceptions(work);
  if (status.ok()) return SLUICE_OK;
  try {
    Message() = std::string(status.message());
  } catch (...) {  // no memory for the message: the code has to do
  }
  return static_cast<sluice_status>(status.code());
}

absl::Status CheckPointer(const void* pointer, const char* name) {
  return pointer != nullptr ? absl::OkStatus()
                            : absl::InvalidArgumentError(absl::StrCat(name, " is NULL"));
}

// A copy that sluice_free frees.
char* CopyText(absl::string_view text) {
  auto* const copy = static_cast<char*>(std::malloc(text.size() + 1));
  if (copy == nullptr) throw std::bad_alloc();
  std::copy(text.begin(), text.end(), copy);
  copy[text.size()] = '\0';
  return copy;
}

absl::StatusOr<KvType> ParseKvTypeName(const char* option, const char* name) {
  if (name == nullptr) return KvType::kF16;
  for (const KvType type : {KvType::kF32, KvType::kF16, KvType::kQ8_0}) {
    if (KvTypeName(type) == name) return type;
  }
  return absl::InvalidArgumentError(
      absl::StrCat(option, " is \"", name, "\"; it must be f32, f16 or q8_0"));
}

// The members that say what is drafted.
absl::StatusOr<SpeculateOptions> SpeculateOptionsOf(const sluice_options& o) {
  const char* const name = o.speculate != nullptr ? o.speculate : "off";
  const std::optional<SpeculateOptions::Mode> mode = SpeculateModeOf(name);
  if (!mode.has_value()) {
    return absl::InvalidArgumentError(
        absl::StrCat("speculate is \"", name, "\"; it must be off, auto, ngram, model or mtp"));
  }
  SpeculateOptions options = {.mode = *mode, .draft_max = o.draft_max};
  if (o.draft_store != nullptr) options.draft_store = o.draft_store;
  if (options.draft_max < 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("draft_max is ", options.draft_max, "; it must be 0 or more"));
  }
  if (options.draft_store.empty() && *mode == SpeculateOptions::Mode::kModel) {
    return absl::InvalidArgumentError("speculate is \"model\", which needs a draft_store");
  }
  if (!options.draft_store.empty() && !options.WantsModel()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "draft_store drafts where speculate is \"auto\" or \"model\", and it is \"", name, "\""));
  }
  return options;
}

// `notes` gets what on_note is called by.
absl::StatusOr<OpenOptions> OptionsOf(const sluice_options* given, std::shared_ptr<Notes>* notes) {
  SLUICE_RETURN_IF_ERROR(CheckPointer(given, "options"));
  sluice_options o;  // with the defaults of members that an older program does not have
  sluice_options_init(&o, sizeof(o));
  if (given->size < offsetof(sluice_options, store) + sizeof(o.store)) {
    return absl::InvalidArgumentError(
        absl::StrCat("options.size is ", given->size, "; sluice_options_init sets it"));
  }
  std::memcpy(&o, given, std::min(given->size, sizeof(o)));
  SLUICE_RETURN_IF_ERROR(CheckPointer(o.store, "options.store"));
  if (o.max_ram_bytes < 0 || o.context_tokens < -1 || o.max_sequences < 1 || o.num_threads < 0 ||
      o.max_vram_bytes < 0 || o.grammar_bytes < 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        "an option is out of its range: max_ram_bytes ", o.max_ram_bytes, ", context_tokens ",
        o.context_tokens, ", max_sequences ", o.max_sequences, ", num_threads ", o.num_threads,
        ", max_vram_bytes ", o.max_vram_bytes, ", grammar_bytes ", o.grammar_bytes));
  }
  OpenOptions options;
  options.store = o.store;
  options.max_ram_bytes = o.max_ram_bytes;
  options.context_tokens = o.context_tokens;
  options.max_sequences = o.max_sequences;
  options.num_threads = o.num_threads;
  SLUICE_ASSIGN_OR_RETURN(options.k_type, ParseKvTypeName("kv_type_k", o.kv_type_k));
  SLUICE_ASSIGN_OR_RETURN(options.v_type, ParseKvTypeName("kv_type_v", o.kv_type_v));
  const char* const device = o.device != nullptr ? o.device : "cpu";
  if (!ParseDeviceName(device, &options.device)) {
    return absl::InvalidArgumentError(
        absl::StrCat("device is \"", device, "\"; it must be cpu, cuda, cuda:N or auto"));
  }
  options.device.max_vram_bytes = o.max_vram_bytes;
  options.fast_math = o.fast_math != 0;
  options.grammar_bytes = o.grammar_bytes;
  if (o.chat_template != nullptr) options.chat.template_file = o.chat_template;
  if (o.probe_file != nullptr) options.probe_file = o.probe_file;
  SLUICE_ASSIGN_OR_RETURN(options.speculate, SpeculateOptionsOf(o));
  *notes = std::make_shared<Notes>(o.on_note, o.user);
  options.on_note = [notes = *notes](const OpenNote& note) { notes->Say(note.text); };
  options.read.io.on_fewer_threads = [notes = *notes](const absl::Status& shortage) {
    notes->Say(absl::StrCat("going on with fewer threads: ", shortage.message()));
  };
  return options;
}

int32_t KindOf(RequestEvent::Kind kind) {
  switch (kind) {
    case RequestEvent::Kind::kToken:
      return SLUICE_EVENT_TOKEN;
    case RequestEvent::Kind::kFinished:
      return SLUICE_EVENT_FINISHED;
    case RequestEvent::Kind::kFailed:
      return SLUICE_EVENT_FAILED;
  }
  return SLUICE_EVENT_NONE;
}

// Copies as much of `value` as the caller's struct has, whose size stays.
template <typename Struct>
absl::Status CopyOut(Struct value, const char* name, Struct* to) {
  SLUICE_RETURN_IF_ERROR(CheckPointer(to, name));
  if (to->size < sizeof(size_t)) {
    return absl::InvalidArgumentError(
        absl::StrCat(name, ".size is ", to->size, "; set it to sizeof(sluice_", name, ")"));
  }
  value.size = to->size;
  std::memcpy(to, &value, std::min(to->size, sizeof(value)));
  return absl::OkStatus();
}

}  // namespace
}  // namespace sluice

using sluice::CheckPointer;
using sluice::Guard;

const char* sluice_version(void) { return SLUICE_VERSION; }

const char* sluice_message(void) { return sluice::Message().c_str(); }

void sluice_free(char* text) { std::free(text); }

void sluice_options_init(sluice_options* options, size_t size) {
  if (options == nullptr) return;
  sluice_options defaults = {};
  defaults.size = size;
  defaults.context_tokens = -1;
  defaults.max_sequences = 1;
  std::memset(options, 0, size);
  std::memcpy(options, &defaults, std::min(size, sizeof(defaults)));
}

sluice_status sluice_open(const sluice_options* options, sluice_model** model) {
  return Guard([&]() -> absl::Status {
    SLUICE_RETURN_IF_ERROR(CheckPointer(model, "model"));
    *model = nullptr;
    std::shared_ptr<sluice::Notes> notes;
    SLUICE_ASSIGN_OR_RETURN(sluice::OpenOptions opened, sluice::OptionsOf(options, &notes));
    const absl::Cleanup until_here = [&notes] { notes->TakeAway(); };
    auto made = std::make_unique<sluice_model>();
    SLUICE_ASSIGN_OR_RETURN(made->service, sluice::RequestService::Start(std::move(opened)));
    *model = made.release();
    return absl::OkStatus();
  });
}

void sluice_close(sluice_model* model) { delete model; }

sluice_status sluice_plan(const sluice_options* options, char** json) {
  return Guard([&]() -> absl::Status {
    SLUICE_RETURN_IF_ERROR(CheckPointer(json, "json"));
    *json = nullptr;
    std::shared_ptr<sluice::Notes> notes;
    SLUICE_ASSIGN_OR_RETURN(sluice::OpenOptions opened, sluice::OptionsOf(options, &notes));
    SLUICE_ASSIGN_OR_RETURN(const sluice::PlanReport report, sluice::PlanOnly(std::move(opened)));
    *json = sluice::CopyText(sluice::PlanReportToJson(report).dump());
    return absl::OkStatus();
  });
}

sluice_status sluice_model_plan(const sluice_model* model, char** json) {
  return Guard([&]() -> absl::Status {
    SLUICE_RETURN_IF_ERROR(CheckPointer(model, "model"));
    SLUICE_RETURN_IF_ERROR(CheckPointer(json, "json"));
    *json = sluice::CopyText(sluice::PlanReportToJson(model->service->opened().report.plan).dump());
    return absl::OkStatus();
  });
}

sluice_status sluice_submit(sluice_model* model, const char* json, size_t size, int64_t* request,
                            char** error) {
  return Guard([&]() -> absl::Status {
    if (error != nullptr) *error = nullptr;
    SLUICE_RETURN_IF_ERROR(CheckPointer(model, "model"));
    SLUICE_RETURN_IF_ERROR(CheckPointer(json, "json"));
    SLUICE_RETURN_IF_ERROR(CheckPointer(request, "request"));
    *request = 0;
    const std::variant<int64_t, sluice::ApiError> submitted =
        model->service->Submit(absl::string_view(json, size));
    if (const int64_t* const id = std::get_if<int64_t>(&submitted); id != nullptr) {
      *request = *id;
      return absl::OkStatus();
    }
    const auto& wrong = std::get<sluice::ApiError>(submitted);
    if (error != nullptr) *error = sluice::CopyText(sluice::ErrorBody(wrong));
    if (wrong.code == "engine_stopped") {
      return absl::Status(model->service->status().code(), wrong.message);
    }
    if (wrong.code == "queue_full") return absl::ResourceExhaustedError(wrong.message);
    return absl::InvalidArgumentError(wrong.message);
  });
}

sluice_status sluice_cancel(sluice_model* model, int64_t request) {
  return Guard([&]() -> absl::Status {
    SLUICE_RETURN_IF_ERROR(CheckPointer(model, "model"));
    model->service->Cancel(request);
    return absl::OkStatus();
  });
}

sluice_status sluice_poll(sluice_model* model, int64_t timeout_ms, sluice_event* event) {
  return Guard([&]() -> absl::Status {
    SLUICE_RETURN_IF_ERROR(CheckPointer(model, "model"));
    sluice_event taken = {};
    SLUICE_RETURN_IF_ERROR(sluice::CopyOut(taken, "event", event));
    if (event->size < offsetof(sluice_event, text_bytes) + sizeof(event->text_bytes)) {
      return absl::InvalidArgumentError(
          absl::StrCat("event.size is ", event->size, "; set it to sizeof(sluice_event)"));
    }
    std::optional<sluice::RequestEvent> got = model->service->Poll(
        std::chrono::milliseconds(std::clamp<int64_t>(timeout_ms, 0, sluice::kLongestWaitMs)));
    if (!got.has_value()) return absl::OkStatus();
    if (got->kind == sluice::RequestEvent::Kind::kFailed) got->text = sluice::ErrorBody(got->error);
    taken.kind = sluice::KindOf(got->kind);
    taken.choice = static_cast<int32_t>(got->choice);
    taken.token = got->token;
    taken.request = got->request;
    taken.text = sluice::CopyText(got->text);
    taken.text_bytes = got->text.size();
    return sluice::CopyOut(taken, "event", event);
  });
}

void sluice_event_clear(sluice_event* event) {
  if (event == nullptr) return;
  std::free(event->text);
  event->text = nullptr;
  event->text_bytes = 0;
  event->kind = SLUICE_EVENT_NONE;
}

int64_t sluice_vocab_size(const sluice_model* model) {
  return model == nullptr ? 0
                          : model->service->opened().session.store->hyper_parameters().vocab_size;
}

sluice_status sluice_logits(sluice_model* model, const int32_t* tokens, size_t num_tokens,
                            float* logits, size_t num_logits) {
  return Guard([&]() -> absl::Status {
    SLUICE_RETURN_IF_ERROR(CheckPointer(model, "model"));
    SLUICE_RETURN_IF_ERROR(CheckPointer(tokens, "tokens"));
    SLUICE_RETURN_IF_ERROR(CheckPointer(logits, "logits"));
    const auto vocab_size = static_cast<size_t>(sluice_vocab_size(model));
    if (num_logits < vocab_size) {
      return absl::InvalidArgumentError(absl::StrCat("there is room for ", num_logits,
                                                     " logits, the vocabulary has ", vocab_size));
    }
    SLUICE_ASSIGN_OR_RETURN(
        const std::vector<float> got,
        model->service->Logits(std::vector<int32_t>(tokens, tokens + num_tokens)));
    std::copy(got.begin(), got.end(), logits);
    return absl::OkStatus();
  });
}

sluice_status sluice_tokenize(const sluice_model* model, const char* text, size_t size,
                              int32_t* tokens, size_t* num_tokens) {
  return Guard([&]() -> absl::Status {
    SLUICE_RETURN_IF_ERROR(CheckPointer(model, "model"));
    SLUICE_RETURN_IF_ERROR(CheckPointer(text, "text"));
    SLUICE_RETURN_IF_ERROR(CheckPointer(num_tokens, "num_tokens"));
    const sluice::Tokenizer* const tokenizer = model->service->opened().tokenizer();
    if (tokenizer == nullptr) {
      return absl::FailedPreconditionError("the store has no tokenizer");
    }
    SLUICE_ASSIGN_OR_RETURN(const std::vector<int32_t> ids,
                            tokenizer->Encode(absl::string_view(text, size), {}));
    const size_t room = std::exchange(*num_tokens, ids.size());
    if (ids.size() > room) {
      return absl::OutOfRangeError(
          absl::StrCat("the text has ", ids.size(), " tokens, and there is room for ", room));
    }
    if (ids.empty()) return absl::OkStatus();
    SLUICE_RETURN_IF_ERROR(CheckPointer(tokens, "tokens"));
    std::copy(ids.begin(), ids.end(), tokens);
    return absl::OkStatus();
  });
}

sluice_status sluice_get_statistics(const sluice_model* model, sluice_statistics* statistics) {
  return Guard([&]() -> absl::Status {
    SLUICE_RETURN_IF_ERROR(CheckPointer(model, "model"));
    const sluice::ServiceStatistics s = model->service->Statistics();
    return sluice::CopyOut({.size = 0,
                            .passes = s.passes,
                            .rows = s.rows,
                            .tokens = s.tokens,
                            .bytes_read = s.bytes_read,
                            .pass_seconds = s.pass_seconds,
                            .disk_wait_seconds = s.disk_wait_seconds,
                            .draft_rows = s.draft_rows,
                            .accepted_rows = s.accepted_rows,
                            .draft_seconds = s.draft_seconds,
                            .tokens_per_pass = s.tokens_per_pass,
                            .speculation_gain = s.speculation_gain},
                           "statistics", statistics);
  });
}
