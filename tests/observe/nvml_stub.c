/* A library that answers as NVIDIA's libnvidia-ml.so.1 does, for two GPUs. The file that NVML_STUB names says how:
 * "well", "one" (GPU 1 is lost), "hang" (no call returns), "absent" (no driver), "plain" (an older driver: no power or
 * use is known, and what it keeps for itself counts as used). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SUCCESS = 0, NOT_SUPPORTED = 3, DRIVER_NOT_LOADED = 9, FUNCTION_NOT_FOUND = 13, GPU_IS_LOST = 15 };
typedef struct { unsigned long long total, free, used; } memory_t;
typedef struct { unsigned int version; unsigned long long total, reserved, free, used; } memory_v2_t;
typedef struct { unsigned int gpu, memory; } utilization_t;
static char gpus[2];

static int is(const char *wanted) {
  char word[16] = "";
  const char *path = getenv("NVML_STUB");
  FILE *file = path ? fopen(path, "r") : NULL;
  if (file == NULL) return 0;
  if (fscanf(file, "%15s", word) != 1) word[0] = 0;
  fclose(file);
  return strcmp(word, wanted) == 0;
}

static int state(void *gpu) {
  while (is("hang")) usleep(50000);
  return gpu == &gpus[1] && is("one") ? GPU_IS_LOST : SUCCESS;
}

int nvmlInitWithFlags(unsigned int flags) { (void)flags; return is("absent") ? DRIVER_NOT_LOADED : SUCCESS; }
int nvmlShutdown(void) { return SUCCESS; }
const char *nvmlErrorString(int error) { (void)error; return "as the stub was told"; }
int nvmlDeviceGetCount_v2(unsigned int *count) { *count = 2; return state(NULL); }

int nvmlDeviceGetHandleByIndex_v2(unsigned int index, void **gpu) { *gpu = &gpus[index]; return state(*gpu); }

int nvmlDeviceGetMemoryInfo(void *gpu, memory_t *memory) {
  memory->total = 80ULL << 30;
  memory->used = (gpu == &gpus[0] ? 61ULL : 11ULL) << 30;
  memory->free = memory->total - memory->used;
  return state(gpu);
}

/* newer drivers tell apart what they keep for themselves: 1 GiB of what the older function counts as used */
int nvmlDeviceGetMemoryInfo_v2(void *gpu, memory_v2_t *memory) {
  memory_t older;
  int code = nvmlDeviceGetMemoryInfo(gpu, &older);
  memory->total = older.total;
  memory->reserved = 1ULL << 30;
  memory->used = older.used - memory->reserved;
  memory->free = older.free;
  return is("plain") ? FUNCTION_NOT_FOUND : code;
}

int nvmlDeviceGetUtilizationRates(void *gpu, utilization_t *use) {
  use->gpu = gpu == &gpus[0] ? 75 : 5;
  use->memory = 1;
  return is("plain") ? NOT_SUPPORTED : state(gpu);
}

int nvmlDeviceGetPowerUsage(void *gpu, unsigned int *milliwatts) {
  *milliwatts = gpu == &gpus[0] ? 512500 : 70000;
  return is("plain") ? NOT_SUPPORTED : state(gpu);
}
