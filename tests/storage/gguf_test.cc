// Tests of reading GGUF headers: sane ones give their values, hostile ones an error, and no more.
#include "storage/source/gguf.h"

#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "store_testing.h"
#include "tests/support/gguf_writer.h"

namespace sluice {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using W = GgufWriter;

constexpr uint32_t kTypeF32 = 0, kTypeQ8_0 = 8;

absl::StatusOr<GgufFile> Parse(const std::string& bytes) {
  return GgufFile::Parse(bytes, static_cast<int64_t>(bytes.size()), "x.gguf");
}

TEST(Gguf, GivesTheValuesOfEveryTypeInVersions2And3) {
  for (const uint32_t version : {2, 3}) {
    W writer;
    writer.version = version;
    writer.Int("int", 7)
        .Value("int8", 1, W::Raw<int8_t>(-3))
        .Value("uint64", 10, W::Raw<uint64_t>(1ull << 40));
    writer.Float("float", 1e-5f)
        .Value("double", 12, W::Raw(2.5))
        .Bool("bool", true)
        .String("string", "a\nb");
    writer.Strings("strings", {"", "x", "yy"}).Ints("ints", {1, -1}).Floats("floats", {0.5f});
    writer.Value(
        "nested", 9,
        W::Array(W::kArray, 2, W::Array(W::kInt32, 0, "") + W::Array(W::kString, 1, W::Text("z"))));
    const auto file = Parse(writer.Bytes());
    ASSERT_TRUE(file.ok()) << file.status();
    EXPECT_EQ(**file->Int("int"), 7);
    EXPECT_EQ(**file->Int("int8"), -3);
    EXPECT_EQ(**file->Int("uint64"), int64_t{1} << 40);
    EXPECT_EQ(**file->Double("float"), 1e-5) << "the decimal, not the f32 next to it";
    EXPECT_EQ(**file->Double("double"), 2.5);
    EXPECT_EQ(**file->Double("int"), 7);
    EXPECT_TRUE(**file->Bool("bool"));
    EXPECT_EQ(**file->String("string"), "a\nb");
    EXPECT_THAT(**file->Strings("strings"), ElementsAre("", "x", "yy"));
    EXPECT_THAT(**file->Ints("ints"), ElementsAre(1, -1));
    EXPECT_THAT(**file->Floats("floats"), ElementsAre(0.5f));
    EXPECT_TRUE(file->Has("nested"));
    EXPECT_FALSE((*file->Int("absent")).has_value());
    EXPECT_FALSE((*file->Strings("absent")).has_value());
    EXPECT_THAT(file->Keys("string"), ElementsAre("string", "strings"));
  }
}

TEST(Gguf, SaysWhichKeyIsOfAnotherType) {
  W writer;
  writer.Int("n", 7).String("s", "text").Strings("list", {"x"}).Float("nan", NAN);
  writer.Value("huge", W::kUint64, W::Raw<uint64_t>(UINT64_MAX));
  const auto file = Parse(writer.Bytes());
  ASSERT_TRUE(file.ok()) << file.status();
  for (const absl::Status& status :
       {file->Int("s").status(), file->Int("huge").status(), file->Double("s").status(),
        file->Double("nan").status(), file->Bool("n").status(), file->String("n").status(),
        file->Strings("s").status(), file->Strings("n").status(), file->Ints("list").status(),
        file->Floats("list").status(), file->Int("list").status()}) {
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr("is of the type")) << status;
  }
}

TEST(Gguf, PlacesTensorsBehindTheAlignedHeader) {
  for (const uint64_t alignment : {8, 32, 4096}) {
    W writer;
    writer.alignment = alignment;
    writer.Int("general.alignment", static_cast<uint32_t>(alignment));
    writer.Tensor("a", {2, 64}, kTypeQ8_0, std::string(136, 'a'))
        .Tensor("b", {3}, kTypeF32, std::string(12, 'b'));
    const std::string bytes = writer.Bytes();
    const auto file = Parse(bytes);
    ASSERT_TRUE(file.ok()) << file.status();
    ASSERT_EQ(file->tensors().size(), 2);
    const GgufTensor &a = file->tensors()[0], &b = file->tensors()[1];
    EXPECT_THAT(a.shape, ElementsAre(2, 64));
    EXPECT_EQ(bytes.substr(a.offset, a.bytes), std::string(136, 'a'));
    EXPECT_THAT(b.shape, ElementsAre(3));
    EXPECT_EQ(bytes.substr(b.offset, b.bytes), std::string(12, 'b'));
  }
}

TEST(Gguf, IsReadFromDiskHoweverLongItsHeaderIs) {
  TemporaryFolder folder;
  W writer;
  writer.String("long", std::string(5 << 20, 'x')).Int("behind", 1);
  writer.Write(folder / "x");
  const auto file = GgufFile::Open(folder / "x");
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_EQ(**file->Int("behind"), 1);
  EXPECT_TRUE(IsGgufFile(folder / "x")) << "by its first bytes";
  EXPECT_FALSE(IsGgufFile(folder.path()));
  EXPECT_FALSE(IsGgufFile(ModelDir("bard-6.7M/config.json")));
}

TEST(Gguf, IsRefusedWhereverItIsCutOff) {
  W writer;
  writer.Int("n", 7).Strings("strings", {"abc", "de"}).Ints("ints", {1, 2});
  writer.Tensor("a", {2, 32}, kTypeQ8_0, std::string(68, 'a'))
      .Tensor("b", {4}, kTypeF32, std::string(16, 'b'));
  const std::string bytes = writer.Bytes();
  ASSERT_TRUE(Parse(bytes).ok());
  for (size_t size = 0; size < bytes.size() - 16;
       ++size) {  // the last tensor's padding need not be there
    const auto file = Parse(bytes.substr(0, size));
    ASSERT_EQ(file.status().code(), absl::StatusCode::kInvalidArgument) << size;
    ASSERT_THAT(std::string(file.status().message()), HasSubstr("x.gguf: GGUF: ")) << size;
  }
  for (size_t size = 4; size < 200; ++size) {  // the bytes at hand end, the file does not
    const auto file =
        GgufFile::Parse(bytes.substr(0, size), static_cast<int64_t>(bytes.size()), "x.gguf");
    EXPECT_TRUE(file.ok() || absl::IsOutOfRange(file.status())) << size << file.status();
  }
}

struct Hostile {
  const char* what;
  std::string bytes;
  const char* message;
};

std::vector<Hostile> HostileFiles() {
  constexpr uint64_t kHuge = 0xFFFFFFFFFFFFFFF0;
  const std::string header = "GGUF" + W::Raw<uint32_t>(3);
  const auto nested = [](int depth) {
    std::string value = W::Array(W::kInt32, 0, "");
    for (int i = 0; i < depth; ++i) value = W::Array(W::kArray, 1, value);
    return W().Value("k", W::kArray, value).Bytes();
  };
  const auto tensor = [](std::vector<int64_t> shape, uint32_t type, uint64_t offset) {
    return W().TensorInfo("t", shape, type, offset).Bytes() + std::string(4096, '\0');
  };
  const auto aligned = [](const std::string& value) {
    return W()
        .Value("general.alignment", W::kUint32, value)
        .Tensor("t", {1}, kTypeF32, std::string(4, '\0'))
        .Bytes();
  };
  return {
      {"another magic", "GGML" + std::string(60, '\0'), "does not begin with"},
      {"a huge number of tensors", header + W::Raw(kHuge) + W::Raw<uint64_t>(0), "too few"},
      {"a huge number of keys", header + W::Raw<uint64_t>(0) + W::Raw(kHuge), "too few"},
      {"a key longer than the file",
       header + W::Raw<uint64_t>(0) + W::Raw<uint64_t>(1) + W::Raw(kHuge) + std::string(64, 'k'),
       "the file ends at"},
      {"an empty key", W().Int("", 1).Bytes(), "a key of 0 bytes"},
      {"a key of 100 kB", W().Int(std::string(100000, 'k'), 1).Bytes(), "a key of 100000 bytes"},
      {"a string longer than the file", W().Value("k", W::kString, W::Raw(kHuge)).Bytes(),
       "the file ends at"},
      {"an unknown type", W().Value("k", 13, "").Bytes(), "the unknown type 13"},
      {"an array of an unknown type",
       W().Value("k", W::kArray, W::Array(static_cast<W::Type>(99), 1, "xxxx")).Bytes(),
       "the unknown type 99"},
      {"a huge array", W().Value("k", W::kArray, W::Array(W::kInt32, kHuge, "")).Bytes(),
       "more than the file has room for"},
      {"a key of two lines in front of a lie", W().Value("a\nb", W::kString, W::Raw(kHuge)).Bytes(),
       "(a\\nb), but the file ends at"},
      {"an array whose bytes overflow",
       W().Value("k", W::kArray, W::Array(W::kUint64, uint64_t{1} << 61, "")).Bytes(),
       "more than the file has room for"},
      {"a huge array of strings",
       W().Value("k", W::kArray, W::Array(W::kString, kHuge, "")).Bytes(),
       "more than the file has room for"},
      {"an array of strings that lie",
       W().Value("k", W::kArray, W::Array(W::kString, 1, W::Raw(kHuge))).Bytes(),
       "the file ends at"},
      {"arrays in arrays in arrays", nested(1000), "nested deeper"},
      {"a key twice", W().Int("k", 1).Int("k", 1).Bytes(), "\"k\" appears twice"},
      {"alignment 0", aligned(W::Raw<uint32_t>(0)), "power of two"},
      {"alignment 24", aligned(W::Raw<uint32_t>(24)), "power of two"},
      {"alignment 2^31", aligned(W::Raw<uint32_t>(1u << 31)), "the data is to begin at"},
      {"an alignment in letters",
       W().String("general.alignment", "32").Tensor("t", {1}, kTypeF32, "aaaa").Bytes(),
       "no integer"},
      {"no dimensions", tensor({}, kTypeF32, 0), "0 dimensions"},
      {"five dimensions", tensor({1, 1, 1, 1, 1}, kTypeF32, 0), "5 dimensions"},
      {"a dimension of 0", tensor({4, 0}, kTypeF32, 0), "empty or overflow"},
      {"a negative dimension", tensor({4, -1}, kTypeF32, 0), "empty or overflow"},
      {"dimensions that overflow", tensor({int64_t{1} << 32, int64_t{1} << 32}, kTypeF32, 0),
       "empty or overflow"},
      {"values that fit and bytes that overflow",
       tensor({int64_t{1} << 31, int64_t{1} << 32}, 28, 0), "overflow"},
      {"half a block", tensor({4, 48}, kTypeQ8_0, 0), "no whole number of q8_0 blocks"},
      {"more data than the file has", tensor({1024, 1024}, kTypeF32, 0),
       "has 4194304 bytes at byte 0 of the data, but the whole file has"},
      {"an offset behind the end", tensor({1}, kTypeF32, 1 << 20),
       "has 4 bytes at byte 1048576 of the data"},
      {"an offset that overflows", tensor({1}, kTypeF32, kHuge), "has 4 bytes"},
      {"an end behind the end", tensor({1024}, kTypeF32, 32), "is to take 4096 bytes"},
      {"an odd offset", tensor({1}, kTypeF32, 4), "no multiple of 32"},
      {"tensors that overlap",
       W().Tensor("a", {16}, kTypeF32, std::string(64, '\0'))
           .TensorInfo("b", {4}, kTypeF32, 32)
           .Bytes(),
       "overlap"},
      {"tensors in one place",
       W().Tensor("a", {4}, kTypeF32, std::string(16, '\0'))
           .TensorInfo("b", {4}, kTypeF32, 0)
           .Bytes(),
       "overlap"},
      {"a name twice",
       W().Tensor("a", {1}, kTypeF32, "aaaa").Tensor("a", {1}, kTypeF32, "aaaa").Bytes(),
       "appears twice"},
  };
}

TEST(Gguf, RefusesHostileFilesInOneLine) {
  for (const Hostile& hostile : HostileFiles()) {
    const auto file = Parse(hostile.bytes);
    EXPECT_EQ(file.status().code(), absl::StatusCode::kInvalidArgument)
        << hostile.what << file.status();
    EXPECT_THAT(std::string(file.status().message()), HasSubstr(hostile.message)) << hostile.what;
    EXPECT_THAT(std::string(file.status().message()), Not(HasSubstr("\n"))) << hostile.what;
  }
}

TEST(Gguf, RefusesOtherVersionsByNumber) {
  for (const auto& [version, message] : {std::pair<uint32_t, const char*>(1, "version 1"),
                                         {4, "version 4"},
                                         {0x03000000, "big-endian"}}) {
    W writer;
    writer.version = version;
    const auto file = Parse(writer.Bytes());
    EXPECT_EQ(file.status().code(), absl::StatusCode::kUnimplemented) << version;
    EXPECT_THAT(std::string(file.status().message()), HasSubstr(message));
  }
}

TEST(Gguf, NamesAFileThatIsNotThereOrIsALinkOfGitLfs) {
  TemporaryFolder folder;
  EXPECT_EQ(GgufFile::Open(folder / "x").status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(GgufFile::Open(folder.path()).status().code(), absl::StatusCode::kInvalidArgument);
  WriteBytes(folder / "lfs.gguf",
             "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n");
  EXPECT_THAT(std::string(GgufFile::Open(folder / "lfs.gguf").status().message()),
              HasSubstr("git lfs pull"));
  WriteBytes(folder / "empty.gguf", "");
  EXPECT_THAT(std::string(GgufFile::Open(folder / "empty.gguf").status().message()),
              HasSubstr("ends at 0"));
}

}  // namespace
}  // namespace sluice
