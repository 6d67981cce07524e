// Every length is checked against what is left of the message.
#include "runtime/text/tokenizer/protobuf_reader.h"

#include <bit>

#include "absl/strings/str_cat.h"

namespace sluice {

bool ProtobufReader::Fail(absl::string_view what) {
  if (status_.ok()) {
    status_ = absl::InvalidArgumentError(absl::StrCat("at byte ", offset_ + field_at_, ", ", what));
  }
  return false;
}

bool ProtobufReader::TakeVarint(uint64_t* value) {
  *value = 0;
  for (int shift = 0; shift < 64; shift += 7) {
    if (at_ == message_.size()) return Fail("the file ends inside a number");
    const uint8_t byte = static_cast<uint8_t>(message_[at_++]);
    *value |= uint64_t{byte & 0x7Fu} << shift;
    if (byte < 0x80) return true;
  }
  return Fail("a number has more than 10 bytes");
}

bool ProtobufReader::Next() {
  if (!status_.ok() || at_ == message_.size()) return false;
  field_at_ = at_;
  uint64_t key;
  if (!TakeVarint(&key)) return false;
  const uint64_t field = key >> 3;
  if (field == 0 || field >= (uint64_t{1} << 29)) return Fail("no field begins");
  field_ = static_cast<uint32_t>(field);
  wire_ = static_cast<Wire>(key & 7);
  switch (wire_) {
    case Wire::kVarint:
      return TakeVarint(&number_);
    case Wire::kBytes: {
      uint64_t size;
      if (!TakeVarint(&size)) return false;
      const size_t left = message_.size() - at_;
      if (size > left) {
        return Fail(
            absl::StrCat("a field of ", size, " bytes begins, but only ", left, " bytes are left"));
      }
      bytes_ = message_.substr(at_, size);
      bytes_at_ = at_;
      at_ += size;
      return true;
    }
    case Wire::kFixed32:
    case Wire::kFixed64: {
      const size_t size = wire_ == Wire::kFixed32 ? 4 : 8;
      if (message_.size() - at_ < size) return Fail("the file ends inside a number");
      number_ = 0;
      for (size_t i = 0; i < size; ++i) {
        number_ |= uint64_t{static_cast<uint8_t>(message_[at_ + i])} << (8 * i);
      }
      at_ += size;
      return true;
    }
  }
  return Fail("no field begins");
}

bool ProtobufReader::Is(Wire wire) {
  return wire_ == wire ||
         Fail(absl::StrCat("field ", field_, " is of another type than the format has"));
}

uint64_t ProtobufReader::Varint() { return Is(Wire::kVarint) ? number_ : 0; }

float ProtobufReader::Float() {
  return Is(Wire::kFixed32) ? std::bit_cast<float>(static_cast<uint32_t>(number_)) : 0;
}

absl::string_view ProtobufReader::Bytes() {
  if (!Is(Wire::kBytes)) bytes_ = {};
  return bytes_;
}

}  // namespace sluice
