  for (int i = 0; i < 2; ++i) {
    const IoCounters counters = queue.counters();
    const double wall =
        std::chrono::duration<double>(ReadQueue::Clock::now() - before).count();
    EXPECT_NEAR(counters.busy_seconds + counters.idle_seconds, wall, 0.05);
    if (i == 0) ASSERT_EQ(queue.TryTake(&read), ReadQueue::Taken::kRead);
  }
  EXPECT_FALSE(queue.Complete(4096, &read));
}

struct AdvanceCase {
  const char* name;
  bool direct;
