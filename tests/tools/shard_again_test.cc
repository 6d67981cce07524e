// Tests of `sluice shard` where a store is there already: complete, without a tokenizer, damaged.
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "subprocess.h"
#include "tests/support/temp_dir.h"

namespace sluice {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

std::string BytesOf(const fs::path& path) {
  std::ostringstream bytes;
  bytes << std::ifstream(path, std::ios::binary).rdbuf();
  return bytes.str();
}

void PutBytes(const fs::path& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}

void ChangeAByte(const fs::path& path) {
  std::string bytes = BytesOf(path);
  bytes.at(bytes.size() / 2) ^= 1;
  PutBytes(path, bytes);
}

class ShardAgainTest : public testing::Test {
 protected:
  ShardAgainTest() { fs::copy(SLUICE_SOURCE_DIR "/tests/data/models/bard-6.7M", model_); }

  const TempDir dir_;
  const std::string model_ = dir_ / "m";
  const std::string store_ = dir_ / "s";
};

TEST_F(ShardAgainTest, ACompleteStoreIsDoneAndOtherOptionsAreNot) {
  const std::vector<std::string> command = {"shard", model_, store_, "--recipe", "q4_k_m"};
  ASSERT_EQ(RunSluice(command).exit_code, 0);
  const Finished again = RunSluice(command);
  EXPECT_EQ(again.exit_code, 0) << again.err;
  EXPECT_THAT(again.out, HasSubstr("already complete"));
  const Finished other = RunSluice({"shard", model_, store_, "--encoding", "q8_0"});
  EXPECT_EQ(other.exit_code, 1);
  EXPECT_THAT(other.err, HasSubstr("as q4_k_m, not as q8_0"));
  ChangeAByte(model_ + "/model.safetensors");
  const Finished weights = RunSluice(command);
  EXPECT_EQ(weights.exit_code, 1);
  EXPECT_THAT(weights.err, HasSubstr("model.safetensors holds other weights"));
  fs::remove(store_ + "/record.json");  // as an older sluice made it
  const Finished older = RunSluice(command);
  EXPECT_EQ(older.exit_code, 0) << older.err;
  EXPECT_THAT(older.out, AllOf(HasSubstr("already complete"), HasSubstr("older sluice")));
}

TEST_F(ShardAgainTest, ATokenizerThatWorksIsTakenOverLater) {
  const std::string tokenizer = BytesOf(model_ + "/tokenizer.json");
  struct Case {
    const char* name;  // of the file that is there instead
    const char* bytes;
    const char* said;
  };
  for (const Case& c : {Case{"tokenizer.model", "not really", "tokenizer.model"},
                        Case{"tokenizer.json", "{\"model\": ", "tokenizer.json: not valid JSON"},
                        Case{"vocab.json", "{}", "merges.txt"}}) {
    fs::remove(model_ + "/tokenizer.json");
    PutBytes(model_ + "/" + c.name, c.bytes);
    const Finished first = RunSluice({"shard", model_, store_});
    EXPECT_EQ(first.exit_code, 0) << first.err;
    EXPECT_THAT(first.err, AllOf(HasSubstr("warning"), HasSubstr(c.said))) << c.name;
    EXPECT_NE(RunSluice({"tokenize", store_, "-p", "ab"}).exit_code, 0);
    const std::string slabs = BytesOf(store_ + "/head.slabs");
    fs::remove(model_ + "/" + c.name);
    PutBytes(model_ + "/tokenizer.json", tokenizer);
    const Finished mended = RunSluice({"shard", model_, store_});
    EXPECT_EQ(mended.exit_code, 0) << mended.err;
    EXPECT_THAT(mended.err, Not(HasSubstr("warning")));
    EXPECT_THAT(mended.out, AllOf(HasSubstr("taken over"), HasSubstr("tokenizer.json")));
    EXPECT_EQ(RunSluice({"tokenize", store_, "-p", "ab", "--json"}).out,
              RunSluice({"tokenize", model_, "-p", "ab", "--json"}).out);
    EXPECT_EQ(RunSluice({"verify", store_}).exit_code, 0);
    EXPECT_EQ(BytesOf(store_ + "/head.slabs"), slabs);
    fs::remove_all(store_);
  }
}

TEST_F(ShardAgainTest, AStoreKeepsItsTokenizerWhereTheCheckpointsBreaks) {
  ASSERT_EQ(RunSluice({"shard", model_, store_}).exit_code, 0);
  PutBytes(model_ + "/tokenizer.json", "version https://git-lfs.github.com/spec/v1\n");
  const Finished again = RunSluice({"shard", model_, store_});
  EXPECT_EQ(again.exit_code, 0) << again.err;
  EXPECT_THAT(again.err, AllOf(HasSubstr("warning"), HasSubstr("tokenizer.json")));
  EXPECT_EQ(RunSluice({"tokenize", store_, "-p", "ab"}).exit_code, 0);
  EXPECT_EQ(RunSluice({"verify", store_}).exit_code, 0);
}

TEST_F(ShardAgainTest, RepairDoesWhatTheMessagesSay) {
  ASSERT_EQ(RunSluice({"shard", model_, store_, "--recipe", "q4_k_m"}).exit_code, 0);
  ChangeAByte(store_ + "/layers/002.slabs");
  ChangeAByte(store_ + "/embedding.rows");
  const Finished verify = RunSluice({"verify", store_});
  EXPECT_EQ(verify.exit_code, 1);
  EXPECT_THAT(verify.err, HasSubstr("2 damaged places; `sluice shard --repair MODEL STORE`"));
  const Finished run = RunSluice({"run", store_, "-p", "a", "-n", "1", "--threads", "1"});
  EXPECT_EQ(run.exit_code, 1);
  EXPECT_THAT(run.err, HasSubstr("shard --repair"));
  EXPECT_EQ(RunSluice({"shard", "--repair", model_, store_, "--encoding", "q8_0"}).exit_code, 1);
  const Finished repair = RunSluice({"shard", "--repair", model_, store_});
  EXPECT_EQ(repair.exit_code, 0) << repair.err;
  EXPECT_THAT(repair.out, AllOf(HasSubstr("002.slabs: slab"), HasSubstr("repaired"),
                                HasSubstr("embedding.rows, layers/002.slabs")));
  EXPECT_EQ(RunSluice({"verify", store_}).exit_code, 0);
  const Finished nothing = RunSluice({"shard", "--repair", model_, store_});
  EXPECT_EQ(nothing.exit_code, 0) << nothing.err;
  EXPECT_THAT(nothing.out, HasSubstr("nothing to repair"));
  fs::remove(store_ + "/layers/005.slabs");
  EXPECT_THAT(RunSluice({"run", store_, "-p", "a", "-n", "1"}).err,
              AllOf(HasSubstr("005.slabs: missing"), HasSubstr("shard --repair")));
}

TEST_F(ShardAgainTest, AMissingFileOfWeightsIsNamedWithTheCommandThatWritesIt) {
  ASSERT_EQ(RunSluice({"shard", model_, store_}).exit_code, 0);
  for (const char* const name :
       {"layers/003.slabs", "head.slabs", "embedding.rows", "resident.bin"}) {
    fs::remove(store_ + "/" + name);
    const Finished again = RunSluice({"shard", model_, store_});
    EXPECT_EQ(again.exit_code, 1) << name;
    EXPECT_THAT(again.err, HasSubstr(std::string(name) + ": missing; `sluice shard --repair"))
        << name;
    EXPECT_EQ(RunSluice({"shard", model_, store_, "--repair"}).exit_code, 0) << name;
  }
}

TEST_F(ShardAgainTest, ATokenizerFileThatNobodyHasIsNoRepair) {
  ASSERT_EQ(RunSluice({"shard", model_, store_}).exit_code, 0);
  fs::remove(model_ + "/tokenizer.json");
  fs::remove(store_ + "/tokenizer/tokenizer.json");
  const Finished repair = RunSluice({"shard", model_, store_, "--repair"});
  EXPECT_EQ(repair.exit_code, 1);
  EXPECT_THAT(repair.err,
              HasSubstr("tokenizer/tokenizer.json: the checkpoint does not have this file"));
}

TEST_F(ShardAgainTest, LinksToNothingAndLfsPointersBesideTheTokenizerAreNamed) {
  fs::create_symlink("../blobs/none", model_ + "/chat_template.jinja");
  const Finished link = RunSluice({"shard", model_, store_});
  EXPECT_EQ(link.exit_code, 1);
  EXPECT_THAT(link.err, HasSubstr("chat_template.jinja: a link to a file that is not there"));
  EXPECT_FALSE(fs::exists(store_ + "/manifest.json"));
  fs::remove(model_ + "/chat_template.jinja");
  PutBytes(model_ + "/chat_template.jinja",
           "version https://git-lfs.github.com/spec/v1\noid sha256:" + std::string(64, 'a') +
               "\nsize 12345\n");
  const Finished pointer = RunSluice({"shard", model_, store_});
  EXPECT_EQ(pointer.exit_code, 0) << pointer.err;
  EXPECT_THAT(pointer.err, HasSubstr("chat_template.jinja is a Git LFS pointer"));
  PutBytes(model_ + "/chat_template.jinja", "{{ messages[0].content }}");
  const Finished mended = RunSluice({"shard", model_, store_});
  EXPECT_EQ(mended.exit_code, 0) << mended.err;
  EXPECT_THAT(mended.out, HasSubstr("taken over from the checkpoint: chat_template.jinja"));
}

TEST_F(ShardAgainTest, AChangedTokenizerFileIsSaid) {
  ASSERT_EQ(RunSluice({"shard", model_, store_}).exit_code, 0);
  const std::string config = store_ + "/tokenizer/tokenizer_config.json";
  PutBytes(config, BytesOf(config) + "\n");
  for (const std::vector<std::string>& command :
       {std::vector<std::string>{"run", store_, "-p", "a", "-n", "1"},
        {"tokenize", store_, "-p", "a"},
        {"score", store_, "-p", "a b"}}) {
    const Finished said = RunSluice(command);
    EXPECT_EQ(said.exit_code, 0) << said.err;
    EXPECT_THAT(said.err,
                AllOf(HasSubstr("tokenizer_config.json: changed since the store was made"),
                      HasSubstr("shard --repair")))
        << command[0];
  }
  const Finished verify = RunSluice({"verify", store_});
  EXPECT_EQ(verify.exit_code, 1);
  EXPECT_THAT(verify.out, HasSubstr("tokenizer_config.json"));
  EXPECT_THAT(verify.err, HasSubstr("takes it over"));
  EXPECT_EQ(RunSluice({"shard", "--repair", model_, store_}).exit_code, 0);
  EXPECT_THAT(RunSluice({"tokenize", store_, "-p", "a"}).err, IsEmpty());
  PutBytes(store_ + "/tokenizer/tokenizer.json", "{\"model\": 5}");
  for (const char* const command : {"run", "tokenize"}) {
    const Finished broken = RunSluice({command, store_, "-p", "a"});
    EXPECT_EQ(broken.exit_code, 1);
    EXPECT_THAT(broken.err,
                AllOf(HasSubstr("tokenizer.json"), HasSubstr("changed since the store was made"),
                      HasSubstr("shard --repair")));
  }
}

}  // namespace
}  // namespace sluice
