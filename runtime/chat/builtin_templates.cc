// The table.
#include "runtime/chat/builtin_templates.h"

#include "absl/strings/match.h"

namespace sluice {
namespace {

// Each prints what llama.cpp's function for that name does, at its beginning without bos.
constexpr BuiltinTemplate kBuiltinTemplates[] = {
    {"chatml",
     R"({% for m in messages %}{{ '<|im_start|>' ~ m.role ~ '\n' ~ m.content ~ '<|im_end|>\n' }}{% endfor %})"
     R"({% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %})"},
    {"llama2",
     R"({% set ns = namespace(inside=true) %}{{ '[INST] ' }}{% for m in messages %}{% if not ns.inside %})"
     R"({{ '[INST] ' }}{% set ns.inside = true %}{% endif %}{% if m.role == 'system' %}{{ m.content ~ '\n' }})"
     R"({% elif m.role == 'user' %}{{ (m.content) ~ ' [/INST]' }}{% else %}{{ (m.content) ~ '</s>' }})"
     R"({% set ns.inside = false %}{% endif %}{% endfor %})"},
    {"llama2-sys",
     R"({% set ns = namespace(inside=true) %}{{ '[INST] ' }}{% for m in messages %}{% if not ns.inside %})"
     R"({{ '[INST] ' }}{% set ns.inside = true %}{% endif %}{% if m.role == 'system' %})"
     R"({{ '<<SYS>>\n' ~ (m.content) ~ '\n<</SYS>>\n\n' }}{% elif m.role == 'user' %})"
     R"({{ (m.content) ~ ' [/INST]' }}{% else %}{{ (m.content) ~ '</s>' }}{% set ns.inside = false %}{% endif %})"
     R"({% endfor %})"},
    {"llama2-sys-bos",
     R"({% set ns = namespace(inside=true) %}{{ '[INST] ' }}{% for m in messages %}{% if not ns.inside %})"
     R"({{ '<s>[INST] ' }}{% set ns.inside = true %}{% endif %}{% if m.role == 'system' %})"
     R"({{ '<<SYS>>\n' ~ (m.content) ~ '\n<</SYS>>\n\n' }}{% elif m.role == 'user' %})"
     R"({{ (m.content) ~ ' [/INST]' }}{% else %}{{ (m.content) ~ '</s>' }}{% set ns.inside = false %}{% endif %})"
     R"({% endfor %})"},
    {"llama2-sys-strip",
     R"({% set ns = namespace(inside=true) %}{{ '[INST] ' }}{% for m in messages %}{% if not ns.inside %})"
     R"({{ '[INST] ' }}{% set ns.inside = true %}{% endif %}{% if m.role == 'system' %})"
     R"({{ '<<SYS>>\n' ~ (m.content | trim) ~ '\n<</SYS>>\n\n' }}{% elif m.role == 'user' %})"
     R"({{ (m.content | trim) ~ ' [/INST]' }}{% else %}{{ (m.content | trim) ~ '</s>' }})"
     R"({% set ns.inside = false %}{% endif %}{% endfor %})"},
    {"mistral-v1",
     R"({% set ns = namespace(inside=false) %}{% for m in messages %}{% if not ns.inside %}{{ ' [INST] ' }})"
     R"({% set ns.inside = true %}{% endif %}{% if m.role == 'system' %}{{ m.content ~ '\n\n' }})"
     R"({% elif m.role == 'user' %}{{ m.content ~ ' [/INST]' }}{% else %}{{ ' ' ~ m.content ~ '</s>' }})"
     R"({% set ns.inside = false %}{% endif %}{% endfor %})"},
    {"mistral-v3",
     R"({% set ns = namespace(inside=false) %}{% for m in messages %}{% if not ns.inside %}{{ '[INST] ' }})"
     R"({% set ns.inside = true %}{% endif %}{% if m.role == 'system' %}{{ m.content ~ '\n\n' }})"
     R"({% elif m.role == 'user' %}{{ m.content ~ '[/INST]' }}{% else %}{{ ' ' ~ (m.content | trim) ~ '</s>' }})"
     R"({% set ns.inside = false %}{% endif %}{% endfor %})"},
    {"mistral-v3-tekken",
     R"({% set ns = namespace(inside=false) %}{% for m in messages %}{% if not ns.inside %}{{ '[INST]' }})"
     R"({% set ns.inside = true %}{% endif %}{% if m.role == 'system' %}{{ m.content ~ '\n\n' }})"
     R"({% elif m.role == 'user' %}{{ m.content ~ '[/INST]' }}{% else %}{{ m.content ~ '</s>' }})"
     R"({% set ns.inside = false %}{% endif %}{% endfor %})"},
    {"mistral-v7",
     R"({% for m in messages %}{% if m.role == 'system' %})"
     R"({{ '[SYSTEM_PROMPT] ' ~ m.content ~ '[/SYSTEM_PROMPT]' }}{% elif m.role == 'user' %})"
     R"({{ '[INST] ' ~ m.content ~ '[/INST]' }}{% elif m.role == 'assistant' %}{{ ' ' ~ m.content ~ '</s>' }})"
     R"({% endif %}{% endfor %})"},
    {"mistral-v7-tekken",
     R"({% for m in messages %}{% if m.role == 'system' %}{{ '[SYSTEM_PROMPT]' ~ m.content ~ '[/SYSTEM_PROMPT]' }})"
     R"({% elif m.role == 'user' %}{{ '[INST]' ~ m.content ~ '[/INST]' }}{% elif m.role == 'assistant' %})"
     R"({{ m.content ~ '</s>' }}{% endif %}{% endfor %})"},
    {"phi3",
     R"({% for m in messages %}{{ '<|' ~ m.role ~ '|>\n' ~ m.content ~ '<|end|>\n' }}{% endfor %})"
     R"({% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %})"},
    {"phi4",
     R"({% for m in messages %}{{ '<|im_start|>' ~ m.role ~ '<|im_sep|>' ~ m.content ~ '<|im_end|>' }}{% endfor %})"
     R"({% if add_generation_prompt %}{{ '<|im_start|>assistant<|im_sep|>' }}{% endif %})"},
    {"falcon3",
     R"({% for m in messages %}{{ '<|' ~ m.role ~ '|>\n' ~ m.content ~ '\n' }}{% endfor %})"
     R"({% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %})"},
    {"zephyr",
     R"({% for m in messages %}{{ '<|' ~ m.role ~ '|>\n' ~ m.content ~ '<|endoftext|>\n' }}{% endfor %})"
     R"({% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %})"},
    {"monarch",
     R"({% for m in messages %}{{ ('' if loop.first else '<s>') ~ m.role ~ '\n' ~ m.content ~ '</s>\n' }})"
     R"({% endfor %}{% if add_generation_prompt %}{{ '<s>assistant\n' }}{% endif %})"},
    {"gemma",
     R"({% set ns = namespace(system='') %}{% for m in messages %}{% if m.role == 'system' %})"
     R"({% set ns.system = ns.system ~ (m.content | trim) %}{% else %})"
     R"({{ '<start_of_turn>' ~ ('model' if m.role == 'assistant' else m.role) ~ '\n' }})"
     R"({% if ns.system and m.role != 'assistant' %}{{ ns.system ~ '\n\n' }}{% set ns.system = '' %}{% endif %})"
     R"({{ (m.content | trim) ~ '<end_of_turn>\n' }}{% endif %}{% endfor %}{% if add_generation_prompt %})"
     R"({{ '<start_of_turn>model\n' }}{% endif %})"},
    {"orion",
     R"({% set ns = namespace(system='') %}{% for m in messages %}{% if m.role == 'system' %})"
     R"({% set ns.system = ns.system ~ m.content %}{% elif m.role == 'user' %})"
     R"({{ 'Human: ' ~ (ns.system ~ '\n\n' if ns.system else '') ~ m.content ~ '\n\nAssistant: </s>' }})"
     R"({% set ns.system = '' %}{% else %}{{ m.content ~ '</s>' }}{% endif %}{% endfor %})"},
    {"openchat",
     R"({% for m in messages %})"
     R"({{ ('' if m.role == 'system' else 'GPT4 Correct ' ~ (m.role | title) ~ ': ') ~ m.content ~ )"
     R"('<|end_of_turn|>' }}{% endfor %}{% if add_generation_prompt %}{{ 'GPT4 Correct Assistant:' }}{% endif %})"},
    {"vicuna",
     R"({% for m in messages %}{% if m.role == 'system' %}{{ m.content ~ '\n\n' }}{% elif m.role == 'user' %})"
     R"({{ 'USER: ' ~ m.content ~ '\n' }}{% elif m.role == 'assistant' %})"
     R"({{ 'ASSISTANT: ' ~ m.content ~ '</s>\n' }}{% endif %}{% endfor %}{% if add_generation_prompt %})"
     R"({{ 'ASSISTANT:' }}{% endif %})"},
    {"vicuna-orca",
     R"({% for m in messages %}{% if m.role == 'system' %}{{ 'SYSTEM: ' ~ m.content ~ '\n' }})"
     R"({% elif m.role == 'user' %}{{ 'USER: ' ~ m.content ~ '\n' }}{% elif m.role == 'assistant' %})"
     R"({{ 'ASSISTANT: ' ~ m.content ~ '</s>\n' }}{% endif %}{% endfor %}{% if add_generation_prompt %})"
     R"({{ 'ASSISTANT:' }}{% endif %})"},
    {"deepseek",
     R"({% for m in messages %}{% if m.role == 'system' %}{{ m.content }}{% elif m.role == 'user' %})"
     R"({{ '### Instruction:\n' ~ m.content ~ '\n' }}{% elif m.role == 'assistant' %})"
     R"({{ '### Response:\n' ~ m.content ~ '\n<|EOT|>\n' }}{% endif %}{% endfor %}{% if add_generation_prompt %})"
     R"({{ '### Response:\n' }}{% endif %})"},
    {"deepseek2",
     R"({% for m in messages %}{% if m.role == 'system' %}{{ m.content ~ '\n\n' }}{% elif m.role == 'user' %})"
     R"({{ 'User: ' ~ m.content ~ '\n\n' }}{% elif m.role == 'assistant' %})"
     R"({{ 'Assistant: ' ~ m.content ~ '<｜end▁of▁sentence｜>' }}{% endif %}{% endfor %})"
     R"({% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %})"},
    {"deepseek3",
     R"({% for m in messages %}{% if m.role == 'system' %}{{ m.content ~ '\n\n' }}{% elif m.role == 'user' %})"
     R"({{ '<｜User｜>' ~ m.content }}{% elif m.role == 'assistant' %})"
     R"({{ '<｜Assistant｜>' ~ m.content ~ '<｜end▁of▁sentence｜>' }}{% endif %}{% endfor %})"
     R"({% if add_generation_prompt %}{{ '<｜Assistant｜>' }}{% endif %})"},
    {"command-r",
     R"({% for m in messages %}{% if m.role == 'system' %})"
     R"({{ '<|START_OF_TURN_TOKEN|><|SYSTEM_TOKEN|>' ~ (m.content | trim) ~ '<|END_OF_TURN_TOKEN|>' }})"
     R"({% elif m.role == 'user' %})"
     R"({{ '<|START_OF_TURN_TOKEN|><|USER_TOKEN|>' ~ (m.content | trim) ~ '<|END_OF_TURN_TOKEN|>' }})"
     R"({% elif m.role == 'assistant' %})"
     R"({{ '<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>' ~ (m.content | trim) ~ '<|END_OF_TURN_TOKEN|>' }}{% endif %})"
     R"({% endfor %}{% if add_generation_prompt %}{{ '<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>' }}{% endif %})"},
    {"llama3",
     R"({% for m in messages %})"
     R"({{ '<|start_header_id|>' ~ m.role ~ '<|end_header_id|>\n\n' ~ (m.content | trim) ~ '<|eot_id|>' }})"
     R"({% endfor %}{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }})"
     R"({% endif %})"},
    {"llama4",
     R"({% for m in messages %})"
     R"({{ '<|header_start|>' ~ m.role ~ '<|header_end|>\n\n' ~ (m.content | trim) ~ '<|eot|>' }}{% endfor %})"
     R"({% if add_generation_prompt %}{{ '<|header_start|>assistant<|header_end|>\n\n' }}{% endif %})"},
    {"chatglm3",
     R"([gMASK]sop{% for m in messages %}{{ '<|' ~ m.role ~ '|>\n ' ~ m.content }}{% endfor %})"
     R"({% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %})"},
    {"chatglm4",
     R"([gMASK]<sop>{% for m in messages %}{{ '<|' ~ m.role ~ '|>\n' ~ m.content }}{% endfor %})"
     R"({% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %})"},
    {"glmedge",
     R"({% for m in messages %}{{ '<|' ~ m.role ~ '|>\n' ~ m.content }}{% endfor %}{% if add_generation_prompt %})"
     R"({{ '<|assistant|>' }}{% endif %})"},
    {"minicpm",
     R"({% for m in messages %})"
     R"({{ '<用户>' ~ (m.content | trim) ~ '<AI>' if m.role == 'user' else m.content | trim }}{% endfor %})"},
    {"exaone3",
     R"({% for m in messages %}{% if m.role == 'system' %})"
     R"({{ '[|system|]' ~ (m.content | trim) ~ '[|endofturn|]\n' }}{% elif m.role == 'user' %})"
     R"({{ '[|user|]' ~ (m.content | trim) ~ '\n' }}{% elif m.role == 'assistant' %})"
     R"({{ '[|assistant|]' ~ (m.content | trim) ~ '[|endofturn|]\n' }}{% endif %}{% endfor %})"
     R"({% if add_generation_prompt %}{{ '[|assistant|]' }}{% endif %})"},
    {"granite",
     R"({% for m in messages %})"
     R"({{ '<|start_of_role|>' ~ m.role ~ '<|end_of_role|>' ~ m.content ~ '<|end_of_text|>\n' }}{% endfor %})"
     R"({% if add_generation_prompt %}{{ '<|start_of_role|>assistant<|end_of_role|>' }}{% endif %})"},
    {"megrez",
     R"({% for m in messages %}{{ '<|role_start|>' ~ m.role ~ '<|role_end|>' ~ m.content ~ '<|turn_end|>' }})"
     R"({% endfor %}{% if add_generation_prompt %}{{ '<|role_start|>assistant<|role_end|>' }}{% endif %})"},
    {"bailing",
     R"({% for m in messages %})"
     R"({{ '<role>' ~ ('HUMAN' if m.role == 'user' else m.role | upper) ~ '</role>' ~ m.content }}{% endfor %})"
     R"({% if add_generation_prompt %}{{ '<role>ASSISTANT</role>' }}{% endif %})"},
};

}  // namespace

absl::Span<const BuiltinTemplate> BuiltinTemplates() { return kBuiltinTemplates; }

const BuiltinTemplate* FindBuiltinTemplate(absl::string_view name) {
  for (const BuiltinTemplate& builtin : kBuiltinTemplates) {
    if (absl::EqualsIgnoreCase(builtin.name, name)) return &builtin;
  }
  return nullptr;
}

}  // namespace sluice
