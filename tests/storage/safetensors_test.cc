// Tests of the safetensors reader with well-formed and hostile headers.
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <random>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "storage/source/checkpoint.h"

namespace sluice {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

constexpr int64_t kLengthBytes = 8;

// Parses a header as if it stood before `data_bytes` of data.
absl::StatusOr<SafetensorsFile> Parse(const std::string& header, int64_t data_bytes) {
  const int64_t file_bytes = kLengthBytes + static_cast<int64_t>(header.size()) + data_bytes;
  return ParseSafetensorsHeader(header, file_bytes, "m.safetensors");
}

// Removed with the object; its name is this process's own.
class TemporaryFile {
 public:
  explicit TemporaryFile(const std::string& content)
      : path_(absl::StrCat(testing::TempDir(), "/safetensors_test.", ::getpid())) {
    std::ofstream(path_, std::ios::binary) << content;
  }
  ~TemporaryFile() { std::remove(path_.c_str()); }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

// A file with the length that its first 8 bytes claim, which need not be that of the header.
std::string FileOf(uint64_t length, const std::string& rest) {
  std::string file;
  for (int i = 0; i < 8; ++i) file.push_back(static_cast<char>(length >> (8 * i)));
  return file + rest;
}

constexpr char kTwo[] =
    R"({"__metadata__":{"format":"pt"},"b":{"dtype":"F32","shape":[2,3],"data_offsets":[4,28]},)"
    R"("a":{"dtype":"BF16","shape":[2],"data_offsets":[0,4]}}   )";

TEST(Safetensors, FindsTensorsInAnyOrderAndIgnoresMetadata) {
  const auto file = Parse(kTwo, 28);
  ASSERT_TRUE(file.ok()) << file.status();
  ASSERT_EQ(file->tensors.size(), 2);
  const int64_t data = kLengthBytes + static_cast<int64_t>(sizeof(kTwo)) - 1;
  EXPECT_EQ(file->tensors[0].name, "b");
  EXPECT_EQ(file->tensors[0].encoding, Encoding::kF32);
  EXPECT_THAT(file->tensors[0].shape, ElementsAre(2, 3));
  EXPECT_EQ(file->tensors[0].offset, data + 4);
  EXPECT_EQ(file->tensors[0].bytes, 24);
  EXPECT_EQ(file->tensors[1].encoding, Encoding::kBF16);
  EXPECT_EQ(file->tensors[1].offset, data);
  EXPECT_EQ(file->bytes, data + 28);
}

TEST(Safetensors, OddButLawfulHeadersAreRead) {
  const struct {
    const char* header;
    int64_t data_bytes;
    size_t tensors;
  } kCases[] = {
      {R"({})", 0, 0},
      {R"({"__metadata__":null})", 0, 0},
      {R"({"scalar":{"dtype":"F16","shape":[],"data_offsets":[0,2]}})", 2, 1},
      {R"({"empty":{"dtype":"F32","shape":[0,7],"data_offsets":[0,0]}})", 0, 1},
      {R"({"e":{"dtype":"F32","shape":[0],"data_offsets":[4,4]},)"
       R"("x":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})",
       4, 2},
      {R"({"":{"data_offsets":[0,4],"shape":[1,1,1,1],"dtype":"F32"}})", 4, 1},
      {R"({"\u00e9\n":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})", 4, 1},
  };
  for (const auto& c : kCases) {
    const auto file = Parse(c.header, c.data_bytes);
    ASSERT_TRUE(file.ok()) << file.status();
    EXPECT_EQ(file->tensors.size(), c.tensors) << c.header;
    EXPECT_THAT(file->skipped, IsEmpty());
  }
}

TEST(Safetensors, OtherTypesAreSkippedByName) {
  const auto file = Parse(R"({"i":{"dtype":"I64","shape":[1],"data_offsets":[0,8]},)"
                          R"("f8":{"dtype":"F8_E4M3","shape":[4],"data_offsets":[8,12]},)"
                          R"("f4":{"dtype":"F4","shape":[4],"data_offsets":[12,14]},)"
                          R"("new":{"dtype":"MX9","shape":[4],"data_offsets":[14,17]},)"
                          R"("x":{"dtype":"F16","shape":[1],"data_offsets":[17,19]}})",
                          19);
  ASSERT_TRUE(file.ok()) << file.status();
  ASSERT_EQ(file->skipped.size(), 4);
  EXPECT_EQ(file->skipped[1].name, "f8");
  EXPECT_EQ(file->skipped[1].dtype, "F8_E4M3");
  EXPECT_EQ(file->tensors.size(), 1);
}

TEST(Safetensors, HostileHeadersAreRefusedOnOneLineThatSaysWhy) {
  const struct {
    const char* header;
    const char* why;
  } kCases[] = {
      // all with 8 bytes of data
      {"", "not valid JSON"},
      {"[]", "instead of an object it holds a list;"},
      {"7", "instead of an object it holds a number;"},
      {"{", "not valid JSON at byte"},
      {"{} x", "not valid JSON at byte"},
      {"{\"\xff\":1}", "not valid JSON at byte"},
      {"{}", "the tensors take 0 bytes, but the file has 8 bytes of data"},
      {R"({"a":null})", "tensor \"a\" has null"},
      {R"({"a":[1]})", "tensor \"a\" has a list"},
      {R"({"a":{}})", "tensor \"a\" lacks \"dtype\" and \"shape\" and \"data_offsets\";"},
      {R"({"a":{"dtype":"F32","shape":[2]}})", "tensor \"a\" lacks \"data_offsets\";"},
      {R"({"a":{"dtype":"F32","data_offsets":[0,8]}})", "tensor \"a\" lacks \"shape\";"},
      {R"({"a":{"shape":[2],"data_offsets":[0,8]}})", "tensor \"a\" lacks \"dtype\";"},
      {R"({"a":{"dtype":"F32","dtype":"F32","shape":[2],"data_offsets":[0,8]}})",
       "tensor \"a\" has the key \"dtype\" twice;"},
      {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8],"more":1}})",
       "unknown key \"more\""},
      {R"({"a":{"dtype":7,"shape":[2],"data_offsets":[0,8]}})", "a number where"},
      {R"({"a":{"dtype":["F32"],"shape":[2],"data_offsets":[0,8]}})", "a list where"},
      {R"({"a":{"dtype":"F32","shape":2,"data_offsets":[0,8]}})", "a number where"},
      {R"({"a":{"dtype":"F32","shape":"2","data_offsets":[0,8]}})", "a string where"},
      {R"({"a":{"dtype":"F32","shape":[[2]],"data_offsets":[0,8]}})", "a list where"},
      {R"({"a":{"dtype":"F32","shape":[{"b":2}],"data_offsets":[0,8]}})", "an object where"},
      {R"({"a":{"dtype":"F32","shape":[2.0],"data_offsets":[0,8]}})", "not an integer"},
      {R"({"a":{"dtype":"F32","shape":[true],"data_offsets":[0,8]}})", "a boolean"},
      {R"({"a":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}})", "a negative number, -2"},
      {R"({"a":{"dtype":"F32","shape":[1,1,1,1,1,1,1,1,2],"data_offsets":[0,8]}})",
       "a number where"},
      {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0]}})",
       "has 1 \"data_offsets\" instead of 2;"},
      {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8,8]}})", "a number where"},
      {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[-8,0]}})", "a negative number, -8"},
      {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}})", "data_offsets 8 to 0"},
      {R"({"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}})", "has 8 bytes of data"},
      {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[18446744073709551608,16]}})", "to 16"},
      {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,99999999999999999999]}})",
       "not an integer"},
      {R"({"a":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}})", "8 bytes, but [3] of F32"},
      {R"({"a":{"dtype":"I64","shape":[2],"data_offsets":[0,8]}})", "8 bytes, but [2] of I64"},
      {R"({"a":{"dtype":"F4","shape":[17],"data_offsets":[0,8]}})", "8 bytes, but [17] of F4"},
      {R"({"a":{"dtype":"F32","shape":[0],"data_offsets":[0,8]}})", "8 bytes, but [0] of F32"},
      {R"({"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,8]}})",
       "overflows"},
      {R"({"a":{"dtype":"F32","shape":[4611686018427387906],"data_offsets":[0,8]}})",
       "8 bytes, but"},
      {R"({"a":{"dtype":"F32","shape":[0,18446744073709551615],"data_offsets":[0,0]}})",
       "overflows"},
      {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},)"
       R"("a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})",
       "\"a\" appears twice"},
      {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},)"
       R"("b":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})",
       "tensor \"b\" starts at data byte 4"},
      {R"({"b":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})", "starts at data byte 4"},
      {R"({"b":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})", "the tensors take 4 bytes"},
      {R"({"a":{"dtype":"F16","shape":[1],"data_offsets":[0,2]},)"
       R"("b":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})",
       "the tensors before it end at 2"},
      {R"({"__metadata__":{"a":{}}})", "\"__metadata__\" has an object"},
      {R"({"__metadata__":{"a":1}})", "\"__metadata__\" has a number"},
      {R"({"__metadata__":{},"__metadata__":{}})", "\"__metadata__\" appears twice"},
      {R"({"a\nb":null})", R"(tensor "a\nb" has null)"},
  };
  for (const auto& c : kCases) {
    const auto file = Parse(c.header, 8);
    EXPECT_EQ(file.status().code(), absl::StatusCode::kInvalidArgument) << c.header;
    const std::string message(file.status().message());
    EXPECT_THAT(message, HasSubstr(c.why)) << c.header;
    EXPECT_THAT(message, HasSubstr("m.safetensors"));
    EXPECT_THAT(message, Not(HasSubstr("\n")));
  }
}

TEST(Safetensors, NothingHidesBehindAZeroByte) {
  const std::string header = std::string(kTwo) + std::string("\0{", 2);
  EXPECT_THAT(std::string(Parse(header, 28).status().message()), HasSubstr("not valid JSON"));
}

TEST(Safetensors, ALongNameIsCutInMessages) {
  const auto file = Parse(absl::StrCat("{\"", std::string(100000, '\x7f'), "\":null}"), 8);
  EXPECT_LT(file.status().message().size(), 800);
}

TEST(Safetensors, DeepNestingEndsWhereItBegins) {
  std::string deep = "{\"a\":{\"shape\":";
  deep.append(10'000'000, '[');
  EXPECT_FALSE(Parse(deep, 8).ok());
}

TEST(Safetensors, LengthsThatTheFileCannotHoldAreRefused) {
  const struct {
    uint64_t length;
    std::string rest;
    const char* why;
  } kCases[] = {
      {3, "{}", "its length is said to be 3 bytes, but it can have at most 2 in a file of 10"},
      {UINT64_MAX, "{}", "at most 2"},
      {uint64_t{1} << 63, "{}", "at most 2"},
      {0, "", "not valid JSON"},
      {2, "{}xxxx", "the file has 4 bytes of data"},
  };
  for (const auto& c : kCases) {
    const TemporaryFile written(FileOf(c.length, c.rest));
    const auto file = OpenSafetensors(written.path());
    EXPECT_EQ(file.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(file.status().message()), HasSubstr(c.why));
    EXPECT_THAT(std::string(file.status().message()), HasSubstr(written.path()));
  }
  EXPECT_FALSE(ParseSafetensorsHeader("{}", 9, "x").ok());
  EXPECT_FALSE(ParseSafetensorsHeader("{}", -1, "x").ok());
}

TEST(Safetensors, AHeaderOfMoreThanTheCapIsNotRead) {
  const TemporaryFile sparse(FileOf(100'000'001, ""));
  ASSERT_EQ(::truncate(sparse.path().c_str(), int64_t{1} << 32), 0);  // takes no space
  const auto file = OpenSafetensors(sparse.path());
  EXPECT_THAT(std::string(file.status().message()), HasSubstr("at most 100000000"));
}

TEST(Safetensors, FilesThatAreNoneAreNamed) {
  const auto message = [](const std::string& content) {
    const TemporaryFile file(content);
    return std::string(OpenSafetensors(file.path()).status().message());
  };
  EXPECT_THAT(message("seven b"), HasSubstr("only 7 bytes"));
  EXPECT_THAT(message("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"),
              HasSubstr("git lfs pull"));
  EXPECT_EQ(OpenSafetensors("/no/such/file").status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(OpenSafetensors(testing::TempDir()).status().message()),
              HasSubstr("not a regular file"));
  const std::string fifo = absl::StrCat(testing::TempDir(), "/safetensors_test_fifo.", ::getpid());
  ASSERT_EQ(::mkfifo(fifo.c_str(), 0600), 0);
  EXPECT_FALSE(OpenSafetensors(fifo).ok());
  std::remove(fifo.c_str());
}

TEST(Safetensors, AHeaderOfManyTensorsParsesFast) {
  constexpr int kTensors = 100'000;  // a 405B model has 1,138
  std::string header = "{";
  for (int i = 0; i < kTensors; ++i) {
    absl::StrAppend(&header, i > 0 ? "," : "", "\"model.layers.", i,
                    ".self_attn.q_proj.weight\":{\"dtype\":\"BF16\",\"shape\":[1,2],",
                    "\"data_offsets\":[", 4 * int64_t{i}, ",", 4 * (int64_t{i} + 1), "]}");
  }
  header += "}";
  const auto file = Parse(header, 4 * int64_t{kTensors});
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_EQ(file->tensors.size(), kTensors);
}

// What anyone may rely on where a header was accepted.
void ExpectSound(const SafetensorsFile& file, int64_t header_bytes) {
  for (const CheckpointTensor& tensor : file.tensors) {
    EXPECT_GE(tensor.offset, kLengthBytes + header_bytes);
    EXPECT_GE(tensor.bytes, 0);
    EXPECT_LE(tensor.offset + tensor.bytes, file.bytes);
    int64_t elements = 1;
    for (const int64_t dim : tensor.shape) elements *= dim;
    EXPECT_EQ(elements * (tensor.encoding == Encoding::kF32 ? 4 : 2), tensor.bytes);
  }
}

TEST(Safetensors, MutatedHeadersAreReadSoundlyOrRefused) {
  std::mt19937 random(20260101);
  const auto pick = [&](size_t n) { return static_cast<size_t>(random() % n); };
  constexpr const char* kPieces[] = {"{",
                                     "}",
                                     "[",
                                     "]",
                                     ",",
                                     ":",
                                     "\"",
                                     "0",
                                     "-1",
                                     "9",
                                     "1e9",
                                     "null",
                                     "\\u0000",
                                     "18446744073709551615",
                                     "\"F16\"",
                                     "\"shape\":[",
                                     "9223372036854775808",
                                     "\xff",
                                     "\"a\":",
                                     " "};
  int accepted = 0, refused = 0;
  for (int round = 0; round < 5000; ++round) {
    std::string header = kTwo;
    for (size_t i = 0, edits = 1 + pick(3); i < edits && !header.empty(); ++i) {
      const size_t at = pick(header.size());
      switch (pick(5)) {
        case 0:
          header[at] = static_cast<char>(random());
          break;
        case 1:
          header.erase(at, 1 + pick(8));
          break;
        case 2:
          header.insert(at, kPieces[pick(std::size(kPieces))]);
          break;
        case 3:
          header.insert(at, header.substr(pick(header.size()), pick(40)));
          break;
        case 4:
          header[at] = static_cast<char>('0' + pick(10));
          break;
      }
    }
    const auto file = Parse(header, 28);
    (file.ok() ? accepted : refused) += 1;
    if (file.ok()) {
      ExpectSound(*file, static_cast<int64_t>(header.size()));
    } else {
      EXPECT_THAT(std::string(file.status().message()), Not(HasSubstr("\n")));
    }
  }
  EXPECT_GT(accepted, 100);  // names, spaces and metadata may change
  EXPECT_GT(refused, 1000);
}

}  // namespace
}  // namespace sluice
