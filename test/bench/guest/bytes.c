/* Rows over bytes: SHA-256 (FIPS 180-4), compression as gzip does it, sorting lines. */
#include "work.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { TEXT_BYTES = 2 << 20 };

static unsigned char *text;

/* Words, some much more frequent than others, as in a log. */
static void text_prepare(int copy) {
  static const char *const stems[] = { "virtual", "kernel", "page", "of", "the", "a", "machine",
    "guest", "host", "disk", "read", "write", "frame", "console", "and", "interrupt" };
  uint32_t seed = 9;
  size_t at = 0;
  (void)copy;
  text = malloc(TEXT_BYTES + 64);
  if (!text) fail("text");
  while (at < TEXT_BYTES) {
    uint32_t pick = next_random(&seed);
    const char *stem = stems[(pick >> 8) % 16 & (pick >> 16) % 16];
    size_t length = strlen(stem);
    memcpy(text + at, stem, length);
    at += length;
    if (pick >> 30 == 0) text[at++] = (unsigned char)('0' + pick % 10);
    text[at++] = pick >> 28 == 5 ? '\n' : ' ';
  }
}

/* sha256 */

enum { SHA_ROUNDS = 3 };

static uint32_t sha_start[8], sha_constants[64];

static uint32_t fraction(double value) { return (uint32_t)((value - floor(value)) * 4294967296.0); }

static void sha_prepare(int copy) {
  int count = 0;
  for (int candidate = 2; count < 64; candidate++) {
    int divisor = 2;
    while (candidate % divisor) divisor++;
    if (divisor != candidate) continue;
    if (count < 8) sha_start[count] = fraction(sqrt(candidate));
    sha_constants[count++] = fraction(cbrt(candidate));
  }
  text_prepare(copy);
}

static uint32_t turned(uint32_t value, int by) { return value >> by | value << (32 - by); }

static void sha_block(uint32_t state[8], const unsigned char *bytes) {
  uint32_t w[64], a = state[0], b = state[1], c = state[2], d = state[3];
  uint32_t e = state[4], f = state[5], g = state[6], h = state[7];
  for (int t = 0; t < 16; t++, bytes += 4)
    w[t] = (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
  for (int t = 16; t < 64; t++) {
    uint32_t x = w[t - 15], y = w[t - 2];
    w[t] = w[t - 16] + (turned(x, 7) ^ turned(x, 18) ^ x >> 3) + w[t - 7]
      + (turned(y, 17) ^ turned(y, 19) ^ y >> 10);
  }
  for (int t = 0; t < 64; t++) {
    uint32_t sum1 = turned(e, 6) ^ turned(e, 11) ^ turned(e, 25);
    uint32_t t1 = h + sum1 + ((e & f) ^ (~e & g)) + sha_constants[t] + w[t];
    uint32_t sum0 = turned(a, 2) ^ turned(a, 13) ^ turned(a, 22);
    uint32_t t2 = sum0 + ((a & b) ^ (a & c) ^ (b & c));
    h = g, g = f, f = e, e = d + t1;
    d = c, c = b, b = a, a = t1 + t2;
  }
  const uint32_t after[8] = { a, b, c, d, e, f, g, h };
  for (int at = 0; at < 8; at++) state[at] += after[at];
}

static uint32_t sha_run(int copy) {
  uint32_t state[8];
  (void)copy;
  memcpy(state, sha_start, sizeof state);
  for (int round = 0; round < SHA_ROUNDS; round++)
    for (size_t at = 0; at < TEXT_BYTES; at += 64) sha_block(state, text + at);
  return state[0];
}

/* gzip: matches found by chains of hashes, then Huffman's code over literals, lengths, places. */

enum { WINDOW = 32768, HASHES = 32768, TRIES = 24, LONGEST = 258, SYMBOLS = 320, GZIP_ROUNDS = 2 };
enum { LENGTHS_FROM = 256, PLACES_FROM = 288 };

struct token {
  uint16_t length, apart; /* of a literal: 0 and the byte */
};

static struct token *tokens;
static unsigned char *packed;
static int heads[HASHES], earlier[WINDOW];

static void gzip_prepare(int copy) {
  text_prepare(copy);
  tokens = malloc(TEXT_BYTES * sizeof *tokens);
  packed = malloc(TEXT_BYTES * 2);
  if (!tokens || !packed) fail("gzip");
}

static unsigned hash_at(const unsigned char *at) {
  return (at[0] << 10 ^ at[1] << 5 ^ at[2]) & (HASHES - 1);
}

static int longest_match(int at, int *apart) {
  int best = 2, most = TEXT_BYTES - at < LONGEST ? TEXT_BYTES - at : LONGEST, tries = TRIES;
  for (int from = heads[hash_at(text + at)]; from >= 0 && at - from < WINDOW && tries--;
       from = earlier[from & (WINDOW - 1)]) {
    if (text[from + best] != text[at + best]) continue;
    int length = 0;
    while (length < most && text[from + length] == text[at + length]) length++;
    if (length > best) best = length, *apart = at - from;
  }
  return best > 2 ? best : 0;
}

static int find_tokens(void) {
  int count = 0;
  memset(heads, -1, sizeof heads);
  for (int at = 0; at < TEXT_BYTES;) {
    int apart = 0, length = at + 3 < TEXT_BYTES ? longest_match(at, &apart) : 0;
    struct token literal = { 0, text[at] }, match = { (uint16_t)length, (uint16_t)apart };
    tokens[count++] = length ? match : literal;
    for (int end = at + (length ? length : 1); at < end; at++) {
      unsigned hash = hash_at(text + at);
      earlier[at & (WINDOW - 1)] = heads[hash];
      heads[hash] = at;
    }
  }
  return count;
}

static int bits_of(unsigned value) { return value ? 32 - __builtin_clz(value) : 0; }

/* The two rarest are joined until one is left; the depth of a symbol is its code's length. */
static void code_lengths(const uint32_t counts[SYMBOLS], uint8_t lengths[SYMBOLS]) {
  static uint32_t weight[2 * SYMBOLS];
  static int parent[2 * SYMBOLS];
  int used = SYMBOLS;
  for (int at = 0; at < SYMBOLS; at++) weight[at] = counts[at], parent[at] = -1;
  for (;;) {
    int least[2] = { -1, -1 };
    for (int at = 0; at < used; at++) {
      if (!weight[at] || parent[at] >= 0) continue;
      if (least[0] < 0 || weight[at] < weight[least[0]]) least[1] = least[0], least[0] = at;
      else if (least[1] < 0 || weight[at] < weight[least[1]]) least[1] = at;
    }
    if (least[1] < 0) break;
    weight[used] = weight[least[0]] + weight[least[1]];
    parent[least[0]] = parent[least[1]] = used;
    parent[used++] = -1;
  }
  for (int at = 0; at < SYMBOLS; at++) {
    lengths[at] = 0;
    for (int up = parent[at]; counts[at] && up >= 0; up = parent[up]) lengths[at]++;
  }
}

/* Canonical: codes of one length follow each other. */
static void assign_codes(const uint8_t lengths[SYMBOLS], uint32_t codes[SYMBOLS]) {
  uint32_t next = 0;
  for (int length = 1; length < 32; length++, next <<= 1)
    for (int at = 0; at < SYMBOLS; at++)
      if (lengths[at] == length) codes[at] = next++;
}

static uint64_t pending;
static int pending_bits;
static size_t packed_bytes;

static void put(uint32_t value, int bits) {
  pending |= (uint64_t)value << pending_bits;
  for (pending_bits += bits; pending_bits >= 8; pending_bits -= 8, pending >>= 8)
    packed[packed_bytes++] = (unsigned char)pending;
}

/* The class of a number is coded, the rest of its bits follow as they are. */
static void put_number(int from, unsigned value, const uint8_t *lengths, const uint32_t *codes) {
  int class = bits_of(value);
  put(codes[from + class], lengths[from + class]);
  put(value & ((1u << (class - 1)) - 1), class - 1);
}

static void pack(void) {
  uint32_t counts[SYMBOLS] = { 0 }, codes[SYMBOLS] = { 0 };
  uint8_t lengths[SYMBOLS];
  const struct token *end = tokens + find_tokens();
  for (const struct token *each = tokens; each < end; each++) {
    counts[each->length ? LENGTHS_FROM + bits_of(each->length) : each->apart]++;
    if (each->length) counts[PLACES_FROM + bits_of(each->apart)]++;
  }
  code_lengths(counts, lengths);
  assign_codes(lengths, codes);
  pending = 0, packed_bytes = 0, pending_bits = 0;
  for (const struct token *each = tokens; each < end; each++)
    if (each->length) {
      put_number(LENGTHS_FROM, each->length, lengths, codes);
      put_number(PLACES_FROM, each->apart, lengths, codes);
    } else {
      put(codes[each->apart], lengths[each->apart]);
    }
}

static uint32_t gzip_run(int copy) {
  uint32_t sum = (uint32_t)copy * 0;
  for (int round = 0; round < GZIP_ROUNDS; round++) pack();
  for (size_t at = 0; at < packed_bytes; at++) sum = mixed(sum, packed[at]);
  return sum;
}

/* sort: the lines of the text, by merging */

enum { SORT_ROUNDS = 8 };

static const char **lines, **merged;

static void sort_prepare(int copy) {
  text_prepare(copy);
  lines = malloc(TEXT_BYTES / 2 * sizeof *lines);
  merged = malloc(TEXT_BYTES / 2 * sizeof *merged);
  if (!lines || !merged) fail("lines");
}

static int split_lines(void) {
  int count = 0;
  for (int at = 0; at < TEXT_BYTES; at++) {
    if (at == 0 || text[at - 1] == 0) lines[count++] = (const char *)text + at;
    if (text[at] == '\n') text[at] = 0;
  }
  text[TEXT_BYTES] = 0;
  return count;
}

static void sort_lines(const char **from, const char **to, int count) {
  if (count < 2) return;
  int half = count / 2, a = 0, b = half;
  sort_lines(from, to, half);
  sort_lines(from + half, to + half, count - half);
  for (int at = 0; at < count; at++)
    to[at] = b >= count || (a < half && strcmp(from[a], from[b]) <= 0) ? from[a++] : from[b++];
  memcpy(from, to, (size_t)count * sizeof *from);
}

static uint32_t sort_run(int copy) {
  uint32_t sum = (uint32_t)copy * 0;
  int count = 0;
  for (int round = 0; round < SORT_ROUNDS; round++) {
    count = split_lines();
    sort_lines(lines, merged, count);
  }
  for (int at = 0; at < count; at++) sum = mixed(sum, (uint32_t)(lines[at] - (const char *)text));
  return sum;
}

const struct row bytes_rows[] = {
  { "sha256", sha_prepare, sha_run },
  { "gzip", gzip_prepare, gzip_run },
  { "sort", sort_prepare, sort_run },
  { NULL, NULL, NULL },
};
