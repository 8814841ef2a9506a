/* Preloaded into a program, gives names the addresses that the tests want: those of "replicas.test"
 * and "localhost" stand in the file TEST_ADDRESSES, and "slow.test" takes for ever. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
typedef int (*look_up)(const char*, const char*, const struct addrinfo*, struct addrinfo**);
int getaddrinfo(const char* name, const char* port, const struct addrinfo* hints,
                struct addrinfo** out) {
  look_up real = (look_up)dlsym(RTLD_NEXT, "getaddrinfo");
  if (name != NULL && strcmp(name, "slow.test") == 0) sleep(1000);
  if (name == NULL || (strcmp(name, "replicas.test") != 0 && strcmp(name, "localhost") != 0))
    return real(name, port, hints, out);
  FILE* file = fopen(getenv("TEST_ADDRESSES"), "r");
  char line[64];
  *out = NULL;
  struct addrinfo** end = out;
  while (file != NULL && fgets(line, sizeof line, file) != NULL) {
    line[strcspn(line, "\n")] = 0;
    if (real(line, port, hints, end) == 0) end = &(*end)->ai_next;
  }
  if (file != NULL) fclose(file);
  return *out != NULL ? 0 : EAI_NONAME;
}
