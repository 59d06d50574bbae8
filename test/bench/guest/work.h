/*
 * The programs of the bench: the same source for every machine and for the host. A row is set up,
 * then run as often as is asked; what it answers is the same everywhere, and is compared.
 */
#ifndef WORK_H
#define WORK_H

#include <stddef.h>
#include <stdint.h>

struct row {
  const char *name;
  /* Not timed; the index tells copies that run at once apart. NULL when there is nothing to do. */
  void (*prepare)(int copy);
  uint32_t (*run)(int copy);
};

extern const struct row compute_rows[], bytes_rows[], system_rows[], device_rows[];

/* The value of a word `key=value` that the program was started with, or the other one. */
const char *word(const char *key, const char *otherwise);

/* The whole, or one of as many parts of it as the word `part` says, where a row is dear. */
int part_of(int whole);

/* Ends the process with a line that the host shows. */
void fail(const char *what) __attribute__((noreturn));

/* The same numbers everywhere. */
static inline uint32_t next_random(uint32_t *state) {
  *state ^= *state << 13;
  *state ^= *state >> 17;
  *state ^= *state << 5;
  return *state;
}

static inline uint32_t mixed(uint32_t sum, uint32_t value) {
  return (sum << 5 | sum >> 27) ^ value * 2654435761u;
}

#endif
