// createCancel(), load(), checksumSources()
#include "addon/arguments.h"
#include "addon/async.h"
#include "addon/exports.h"
#include "addon/load_job.h"
#include "transfer/chunk_readers.h"

namespace cuda_ipc {

namespace {

constexpr int64_t kMostThreads = 256;
constexpr int64_t kLeastChunkBytes = 4 << 10;
constexpr int64_t kMostChunkBytes = 1 << 30;

Napi::Array array_argument(Napi::Value value, const char* name) {
  if (!value.IsArray()) invalid_argument(name, "an array", value);
  return value.As<Napi::Array>();
}

FileAccess access_argument(Napi::Value value) {
  const std::string name = string_argument(value, "io");
  if (name == "auto") return FileAccess::kAuto;
  if (name == "buffered") return FileAccess::kBuffered;
  if (name == "direct") return FileAccess::kDirect;
  invalid_argument("io", "\"auto\", \"buffered\" or \"direct\"", value);
}

std::vector<LoadRun> runs_argument(Napi::Value value) {
  const Napi::Array array = array_argument(value, "runs");
  std::vector<LoadRun> runs;  // grown by what is there: an array may be long and empty
  for (uint32_t i = 0; i < array.Length(); ++i) {
    const Napi::HandleScope scope(array.Env());
    const Napi::Object run = object_argument(array.Get(i), "a run");
    runs.push_back({bytes_argument(run.Get("source"), "source"), bytes_argument(run.Get("offset"), "offset"),
                    bytes_argument(run.Get("bytes"), "bytes"), bytes_argument(run.Get("target"), "target")});
  }
  return runs;
}

void read_sources(Napi::Value value, LoadJob& job) {
  const Napi::Array array = array_argument(value, "sources");
  for (uint32_t i = 0; i < array.Length(); ++i) {
    const Napi::Value source = array.Get(i);
    if (source.IsString()) {
      job.plan.sources.emplace_back(FilePath{string_argument(source, "a source")});
      continue;
    }
    const auto& view = job.memory.emplace_back(LentView::lend(array.Env(), source, "a source"));
    job.plan.sources.emplace_back(MemorySpan{view->data(), view->length()});
  }
}

// What a load and a checksum of its sources have in common.
void read_plan(const Napi::Object& options, LoadJob& job) {
  LoadPlan& plan = job.plan;
  plan.runs = runs_argument(options.Get("runs"));
  const Napi::Value threads = options.Get("threads");
  if (!is_absent(threads))
    plan.threads = static_cast<unsigned>(integer_argument(threads, "threads", 1, kMostThreads));
  const Napi::Value chunk_bytes = options.Get("chunkBytes");
  plan.chunk_bytes = is_absent(chunk_bytes)
                         ? repaid_chunk_bytes(plan)
                         : integer_argument(chunk_bytes, "chunkBytes", kLeastChunkBytes, kMostChunkBytes);
  const Napi::Value io = options.Get("io");
  if (!is_absent(io)) plan.access = access_argument(io);
  job.cancel = cancel_argument(options.Get("cancel"), "cancel");
  const Napi::Value on_progress = options.Get("onProgress");
  if (!is_absent(on_progress))
    job.on_progress = Napi::Persistent(function_argument(on_progress, "onProgress"));
  read_sources(options.Get("sources"), job);
}

void read_load(const Napi::Object& options, LoadJob& job) {
  job.plan.device = device_argument(options.Get("device"));
  job.plan.base = pointer_argument(options.Get("base"), "base");
  const Napi::Value checksum_bytes = options.Get("checksumBytes");
  if (!is_absent(checksum_bytes)) job.checksum_bytes = bytes_argument(checksum_bytes, "checksumBytes", 1);
  read_plan(options, job);
}

void read_sources_checksum(const Napi::Object& options, LoadJob& job) {
  job.sources_only = true;
  job.checksum_bytes = bytes_argument(options.Get("bytes"), "bytes", 1);
  read_plan(options, job);
}

// Ends the job on the pool when the work is over, and also when it is dropped without having run.
struct JobUse {
  explicit JobUse(std::shared_ptr<LoadJob> j) : job(std::move(j)) {}
  JobUse(JobUse&&) = default;
  ~JobUse() {
    if (job) job->end();
  }
  std::shared_ptr<LoadJob> job;
};

using ReadOptions = void (*)(const Napi::Object&, LoadJob&);
using MakeValue = Napi::Value (*)(Napi::Env, const LoadJob::Outcome&);

template <ReadOptions read_options, MakeValue make_value>
Napi::Value start(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  auto job = std::make_shared<LoadJob>();
  try {
    read_options(object_argument(info[0], "options"), *job);
  } catch (...) {
    job->take_back(env);
    throw;
  }
  job->begin(env);
  // A failure travels as a result: references have to be released on the environment's thread either way.
  using Outcome = std::variant<LoadJob::Outcome, Error>;
  return run_async(
      env,
      [use = JobUse(job)]() mutable -> Outcome {
        const JobUse ending = std::move(use);
        try {
          return ending.job->run();
        } catch (const Error& error) {
          return error;
        } catch (const std::exception& error) {
          return Error("ERR_CUDA_IPC_INTERNAL", error.what());
        }
      },
      [job](Napi::Env env, Outcome& outcome) -> Napi::Value {
        job->settle(env);
        if (const auto* error = std::get_if<Error>(&outcome)) throw *error;
        return make_value(env, std::get<LoadJob::Outcome>(outcome));
      },
      [job](Napi::Env env) { job->settle(env); });
}

Napi::Value checksum_value(Napi::Env env, const LoadJob::Outcome& outcome) {
  return Napi::Buffer<unsigned char>::Copy(env, outcome.checksum->data(), outcome.checksum->size());
}

Napi::Value load_value(Napi::Env env, const LoadJob::Outcome& outcome) {
  const LoadResult& result = outcome.result;
  Napi::Object object = Napi::Object::New(env);
  object["bytes"] = static_cast<double>(result.bytes);
  object["seconds"] = result.seconds;
  object["stagingBytes"] = static_cast<double>(result.staging_bytes);
  object["threads"] = result.threads;
  if (outcome.checksum) object["checksum"] = checksum_value(env, outcome);
  return object;
}

}  // namespace

void export_load(Napi::Env env, Napi::Object exports) {
  NativeCancel::define_class(env);
  exports["createCancel"] = Napi::Function::New(env, create_cancel, "createCancel");
  exports["load"] = Napi::Function::New<checked<start<read_load, load_value>>>(env, "load");
  exports["checksumSources"] =
      Napi::Function::New<checked<start<read_sources_checksum, checksum_value>>>(env, "checksumSources");
}

}  // namespace cuda_ipc
