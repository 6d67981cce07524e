// Reads the wire format of Protocol Buffers: a message as a list of numbered fields.
//
// https://protobuf.dev/programming-guides/encoding. Groups, which no file that sluice reads has,
// are refused.
#ifndef SLUICE_RUNTIME_TEXT_TOKENIZER_PROTOBUF_READER_H_
#define SLUICE_RUNTIME_TEXT_TOKENIZER_PROTOBUF_READER_H_

#include <cstddef>
#include <cstdint>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace sluice {

// Steps through one message, which it does not own. Nothing in the message is trusted.
//
//   ProtobufReader reader(message);
//   while (reader.Next()) if (reader.field() == 1) Use(reader.Bytes());
//   return reader.status();
class ProtobufReader {
 public:
  // `offset` is where `message` stands in its file; errors name places in the file.
  explicit ProtobufReader(absl::string_view message, size_t offset = 0)
      : message_(message), offset_(offset) {}

  // Steps to the next field. False: the message has ended, or is malformed.
  bool Next();
  // InvalidArgument: the message is malformed, or a value was read as another type than it has.
  absl::Status status() const { return status_; }

  uint32_t field() const { return field_; }
  // Return the value of the field, whose type the caller knows. After a call for another type
  // Next() returns false.
  uint64_t Varint();
  bool Bool() { return Varint() != 0; }
  float Float();
  absl::string_view Bytes();
  // Returns where Bytes() stand in the file.
  size_t bytes_offset() const { return offset_ + bytes_at_; }

 private:
  enum class Wire : uint8_t { kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5 };

  bool TakeVarint(uint64_t* value);
  bool Fail(absl::string_view what);
  bool Is(Wire wire);

  const absl::string_view message_;
  const size_t offset_;
  size_t at_ = 0;
  size_t field_at_ = 0;  // where the field begins
  uint32_t field_ = 0;
  Wire wire_ = Wire::kVarint;
  uint64_t number_ = 0;      // kVarint, kFixed32, kFixed64
  absl::string_view bytes_;  // kBytes
  size_t bytes_at_ = 0;      // where bytes_ stand in message_
  absl::Status status_;
};

}  // namespace sluice

#endif  // SLUICE_RUNTIME_TEXT_TOKENIZER_PROTOBUF_READER_H_
