// bench-http-client URL FILE CALLS ANSWER [HEADER...]: posts the bytes of a file CALLS times over
// one connection, with libcurl, and prints the median and the 99th percentile of the time in us.
// Writes the last answer to the file ANSWER, with its headers. serving.py runs it.
#include <curl/curl.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

namespace {

size_t append(char* data, size_t size, size_t count, void* to) {
  static_cast<std::string*>(to)->append(data, size * count);
  return size * count;
}

}  // namespace

int main(int argc, char** argv) {
  constexpr int kFixed = 5;
  if (argc < kFixed) return 2;
  std::ifstream file(argv[2], std::ios::binary);
  const std::string body(std::istreambuf_iterator<char>(file), {});
  const int calls = std::atoi(argv[3]);
  curl_global_init(CURL_GLOBAL_DEFAULT);
  CURL* const handle = curl_easy_init();
  curl_slist* headers = curl_slist_append(nullptr, "Expect:");
  for (int i = kFixed; i < argc; ++i) headers = curl_slist_append(headers, argv[i]);
  std::string answer, head;
  curl_easy_setopt(handle, CURLOPT_URL, argv[1]);
  curl_easy_setopt(handle, CURLOPT_HTTPHEADER, headers);
  curl_easy_setopt(handle, CURLOPT_POSTFIELDS, body.data());
  curl_easy_setopt(handle, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(body.size()));
  curl_easy_setopt(handle, CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));
  curl_easy_setopt(handle, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(handle, CURLOPT_PROXY, "");
  curl_easy_setopt(handle, CURLOPT_WRITEFUNCTION, append);
  curl_easy_setopt(handle, CURLOPT_WRITEDATA, &answer);
  curl_easy_setopt(handle, CURLOPT_HEADERFUNCTION, append);
  curl_easy_setopt(handle, CURLOPT_HEADERDATA, &head);
  std::vector<double> times;
  constexpr int kWarmUp = 50;
  for (int i = 0; i < calls + kWarmUp; ++i) {
    answer.clear();
    head.clear();
    const auto begun = std::chrono::steady_clock::now();
    const CURLcode code = curl_easy_perform(handle);
    const auto took = std::chrono::steady_clock::now() - begun;
    long status = 0;
    curl_easy_getinfo(handle, CURLINFO_RESPONSE_CODE, &status);
    if (code != CURLE_OK || status != 200) {
      std::fprintf(stderr, "%s: status %ld: %s %s\n", argv[1], status, curl_easy_strerror(code),
                   answer.c_str());
      return 1;
    }
    if (i >= kWarmUp) times.push_back(std::chrono::duration<double, std::micro>(took).count());
  }
  std::ofstream(argv[4], std::ios::binary) << head << answer;
  std::sort(times.begin(), times.end());
  std::printf("%.2f %.2f\n", times[times.size() / 2], times[times.size() * 99 / 100]);
  return 0;
}
