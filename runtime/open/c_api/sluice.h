/* libsluice: language models that do not fit in memory, for C and every language that calls C.
 *
 * A model is opened once, on a thread of its own; requests are JSON bodies of OpenAI's
 * /v1/completions and /v1/chat/completions, and their tokens and answers come back as events:
 *
 *   sluice_options options;
 *   sluice_options_init(&options, sizeof(options));
 *   options.store = "llama-70b.store";
 *   options.max_ram_bytes = 6LL << 30;
 *   sluice_model* model;
 *   if (sluice_open(&options, &model) != SLUICE_OK) puts(sluice_message());
 *
 * Errors: every function that can fail returns a sluice_status, and sluice_message() says what went
 * wrong and what to do. No C++ exception leaves a function, and nothing is printed.
 *
 * Threads: functions that take a model may be called from any thread at any time, several at once,
 * but for sluice_close, which must be the last one. Callbacks come on the model's own thread.
 *
 * Ownership: what a function hands out through a char** is freed with sluice_free, an event with
 * sluice_event_clear. What is passed in is copied before the function returns.
 *
 * Compatibility: structs begin with their size, so that a program that was built for an older
 * version runs with a newer library. */
#ifndef SLUICE_H_
#define SLUICE_H_

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define SLUICE_API __attribute__((visibility("default")))
#else
#define SLUICE_API
#endif

/* How a call ended. The values are those of absl::StatusCode and of gRPC. */
typedef enum sluice_status {
  SLUICE_OK = 0,
  SLUICE_CANCELLED = 1, /* the model was closed, or a pass was interrupted */
  SLUICE_UNKNOWN = 2,
  SLUICE_INVALID_ARGUMENT = 3, /* an option, a request or a pointer is wrong */
  SLUICE_DEADLINE_EXCEEDED = 4,
  SLUICE_NOT_FOUND = 5, /* there is no such store or file */
  SLUICE_ALREADY_EXISTS = 6,
  SLUICE_PERMISSION_DENIED = 7,
  SLUICE_RESOURCE_EXHAUSTED = 8,  /* memory; the message names the smallest budget that works */
  SLUICE_FAILED_PRECONDITION = 9, /* the store or the device cannot be used as it is */
  SLUICE_ABORTED = 10,
  SLUICE_OUT_OF_RANGE = 11,
  SLUICE_UNIMPLEMENTED = 12,
  SLUICE_INTERNAL = 13,    /* a bug of sluice */
  SLUICE_UNAVAILABLE = 14, /* the disk could not be read */
  SLUICE_DATA_LOSS = 15    /* a checksum is wrong */
} sluice_status;

/* An open model. */
typedef struct sluice_model sluice_model;

/* "0.1.0". Static; never freed. */
SLUICE_API const char* sluice_version(void);

/* What the last call on this thread that did not return SLUICE_OK has to say; "" where there was
 * none. Valid until the next call of a function on this thread. */
SLUICE_API const char* sluice_message(void);

/* Frees what a function has handed out through a char**. NULL is ignored. */
SLUICE_API void sluice_free(char* text);

typedef struct sluice_options {
  /* sizeof(sluice_options); sluice_options_init sets it. */
  size_t size;
  /* The folder that `sluice shard` has made. */
  const char* store;
  /* The budget of host memory for everything that sluice allocates; 0: 80% of what is free. */
  int64_t max_ram_bytes;
  /* The context of a sequence in tokens; -1: the smaller of 4096 and the model's own; 0: the
   * model's own. */
  int64_t context_tokens;
  /* How many sequences are generated at once, each with a whole context. The default is 1. */
  int32_t max_sequences;
  /* How many threads compute; 0: one for each physical core. */
  int32_t num_threads;
  /* Keys in the KV cache, and values: "f32", "f16" or "q8_0"; NULL: "f16". */
  const char* kv_type_k;
  const char* kv_type_v;
  /* What computes: "cpu", "cuda", "cuda:1" or "auto"; NULL: "cpu". */
  const char* device;
  /* The budget of the device's memory; 0: 95% of what is free. */
  int64_t max_vram_bytes;
  /* 1: activations of bf16 weights may be rounded to bf16; 0: results are the same everywhere. */
  int32_t fast_math;
  /* Set aside for requests with a grammar or a schema, whose compiled form may take that much; 0:
   * such requests are refused. */
  int64_t grammar_bytes;
  /* A file with a chat template, or the name of a known one; NULL: the store's own. */
  const char* chat_template;
  /* The file in which `sluice probe` remembers this machine; NULL: nothing is known of it, and
   * plans predict nothing. */
  const char* probe_file;
  /* Called with each thing that the user should know: that a budget is more than the system has,
   * say. While sluice_open or sluice_plan runs, from any thread, by one at a time. NULL: nobody is
   * told. */
  void (*on_note)(void* user, const char* text);
  /* What on_note gets. */
  void* user;
  /* What drafts tokens that a pass computes beyond a sequence's next one: "off", "auto" (all that
   * there is), "ngram" (what followed the last tokens before), "model" (draft_store) or
   * "mtp" (the head that a checkpoint has for that); NULL: "off". Answers do not depend on it. */
  const char* speculate;
  /* The store of a smaller model with the same vocabulary, which drafts with "auto" and "model", in
   * memory of the same budget; NULL: there is none. */
  const char* draft_store;
  /* The most tokens that are drafted for a sequence in a pass; 0: as many as cost no time. */
  int64_t draft_max;
} sluice_options;

/* Sets the defaults. `size` is the caller's sizeof(sluice_options). */
SLUICE_API void sluice_options_init(sluice_options* options, size_t size);

/* Opens a store and loads its model; *model is the caller's until sluice_close. Reads from the disk
 * what stays in memory. SLUICE_NOT_FOUND: no store there. SLUICE_RESOURCE_EXHAUSTED: the budget is
 * too small. SLUICE_INVALID_ARGUMENT: an option is wrong. */
SLUICE_API sluice_status sluice_open(const sluice_options* options, sluice_model** model);

/* Stops the pass that runs, forgets all requests and frees the model. NULL is ignored. */
SLUICE_API void sluice_close(sluice_model* model);

/* What a model with these options would take of memory and time, without loading it: the JSON
 * object that `sluice plan --json` prints. The caller frees *json. Errors are sluice_open's. */
SLUICE_API sluice_status sluice_plan(const sluice_options* options, char** json);

/* The same of a model that is open. */
SLUICE_API sluice_status sluice_model_plan(const sluice_model* model, char** json);

/* Queues a request and returns its number (1, 2, ...) in *request: `json` is the body of a request
 * to /v1/completions or, where it has messages, to /v1/chat/completions; `size` is its length in
 * bytes. SLUICE_INVALID_ARGUMENT: the request is wrong, or too large. SLUICE_RESOURCE_EXHAUSTED:
 * requests fill the room that is set aside for them, until one was answered and its last event was
 * taken. Others: the engine has stopped with that error. Where a request was refused, *error, if
 * `error` is not NULL, is the API's JSON object {"error": {message, type, param, code}}, which the
 * caller frees; otherwise *error is NULL. */
SLUICE_API sluice_status sluice_submit(sluice_model* model, const char* json, size_t size,
                                       int64_t* request, char** error);

/* Forgets a request: no event of it comes from now on. A request that is unknown or has ended is
 * ignored. */
SLUICE_API sluice_status sluice_cancel(sluice_model* model, int64_t request);

typedef enum sluice_event_kind {
  SLUICE_EVENT_NONE = 0,     /* nothing happened in time */
  SLUICE_EVENT_TOKEN = 1,    /* a token was chosen */
  SLUICE_EVENT_FINISHED = 2, /* the request's last event: its answer */
  SLUICE_EVENT_FAILED = 3    /* the request's last event: there is no answer */
} sluice_event_kind;

typedef struct sluice_event {
  /* sizeof(sluice_event), set by the caller. */
  size_t size;
  /* A sluice_event_kind. */
  int32_t kind;
  /* TOKEN: the index of the answer's choice, and the token's id. */
  int32_t choice;
  int32_t token;
  /* The number that sluice_submit gave. */
  int64_t request;
  /* TOKEN: the text that is certain by now, UTF-8, may be "". FINISHED: the JSON body of the
   * answer. FAILED: {"error": {message, type, param, code}}. NONE: NULL. */
  char* text;
  /* Of text, without the 0 behind it. */
  size_t text_bytes;
} sluice_event;

/* Takes the oldest event of all requests, waiting for up to `timeout_ms` (0 or less: not at all).
 * Several threads may poll; each event goes to one. Events that nobody takes stay in memory. */
SLUICE_API sluice_status sluice_poll(sluice_model* model, int64_t timeout_ms, sluice_event* event);

/* Frees what the event owns, and makes it one of SLUICE_EVENT_NONE. */
SLUICE_API void sluice_event_clear(sluice_event* event);

/* The number of logits of a row: the size of the model's vocabulary. */
SLUICE_API int64_t sluice_vocab_size(const sluice_model* model);

/* The logits behind the last of `num_tokens` token ids, into `logits`, which has room for
 * sluice_vocab_size floats (`num_logits`). Waits for the passes that it takes; other requests go on
 * in them. SLUICE_INVALID_ARGUMENT: no tokens, more than the context, an id outside the vocabulary,
 * or too little room. */
SLUICE_API sluice_status sluice_logits(sluice_model* model, const int32_t* tokens,
                                       size_t num_tokens, float* logits, size_t num_logits);

/* The token ids of a text, with the special tokens that the model wants around it, into `tokens`,
 * which has room for *num_tokens ids; *num_tokens becomes how many there are.
 * SLUICE_OUT_OF_RANGE: there is not enough room; *num_tokens says how much is needed.
 * SLUICE_FAILED_PRECONDITION: the store has no tokenizer. */
SLUICE_API sluice_status sluice_tokenize(const sluice_model* model, const char* text, size_t size,
                                         int32_t* tokens, size_t* num_tokens);

typedef struct sluice_statistics {
  /* sizeof(sluice_statistics), set by the caller. */
  size_t size;
  /* Walks over the layers. */
  int64_t passes;
  /* Tokens that the passes computed, of prompts and of answers. */
  int64_t rows;
  /* Tokens that were chosen. */
  int64_t tokens;
  /* From the disk. */
  int64_t bytes_read;
  /* Inside of passes, and the part of that in which computing waited for the disk. */
  double pass_seconds;
  double disk_wait_seconds;
  /* Of the rows, tokens that were drafted, and of these the ones that became tokens of an answer.
   */
  int64_t draft_rows;
  int64_t accepted_rows;
  /* Of drafting, between passes. */
  double draft_seconds;
  /* That a sequence got from a pass, on average; 1 without drafts. */
  double tokens_per_pass;
  /* Tokens a second of passes with drafts over those without, of recent passes; 1 where there was
   * only one of the two kinds. */
  double speculation_gain;
} sluice_statistics;

/* What the model has done since it was opened, behind its last pass. */
SLUICE_API sluice_status sluice_get_statistics(const sluice_model* model,
                                               sluice_statistics* statistics);

#ifdef __cplusplus
} /* extern "C" */
#endif

#endif /* SLUICE_H_ */
