/* Answers a request of OpenAI's API: answer STORE JSON. */
#include <sluice.h>
#include <stdio.h>
#include <string.h>

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  sluice_options options;
  sluice_options_init(&options, sizeof(options));
  options.store = argv[1];
  options.max_ram_bytes = 64 << 20; /* for everything */
  sluice_model* model;
  int64_t request;
  if (sluice_open(&options, &model) != SLUICE_OK ||
      sluice_submit(model, argv[2], strlen(argv[2]), &request, NULL) != SLUICE_OK) {
    fprintf(stderr, "%s\n", sluice_message());
    return 1;
  }
  sluice_event event = {.size = sizeof(event)};
  do {
    sluice_event_clear(&event);
    if (sluice_poll(model, 1000, &event) != SLUICE_OK) return 1;
    if (event.kind == SLUICE_EVENT_TOKEN) fputs(event.text, stdout);
  } while (event.kind != SLUICE_EVENT_FINISHED && event.kind != SLUICE_EVENT_FAILED);
  printf("\n%s\n", event.text);
  sluice_event_clear(&event);
  sluice_close(model);
  return 0;
}
