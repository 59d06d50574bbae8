/* Rows that only compute: whole numbers, records and strings, memory, floating point. */
#include "work.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* integer: what CoreMark does, in our own words: a list, a matrix, a state machine, a CRC. */

enum { NODES = 600, SIDE = 40, TEXT_BYTES = 2000, INTEGER_ROUNDS = 500 };

struct node {
  struct node *next;
  int16_t key, value;
};

static struct node nodes[NODES];
static int16_t left[SIDE][SIDE], right[SIDE][SIDE];
static int32_t product[SIDE][SIDE];
static char text[TEXT_BYTES];

static uint16_t crc16(uint16_t crc, uint32_t value) {
  for (int bit = 0; bit < 32; bit++, value >>= 1)
    crc = (crc ^ value) & 1 ? crc >> 1 ^ 0xa001 : crc >> 1;
  return crc;
}

static struct node *merge(struct node *a, struct node *b) {
  struct node head, *tail = &head;
  while (a && b) {
    struct node **least = a->key <= b->key ? &a : &b;
    tail = tail->next = *least;
    *least = (*least)->next;
  }
  tail->next = a ? a : b;
  return head.next;
}

static struct node *sort_list(struct node *list) {
  if (!list || !list->next) return list;
  struct node *slow = list, *fast = list->next;
  while (fast && fast->next) slow = slow->next, fast = fast->next->next;
  struct node *second = slow->next;
  slow->next = NULL;
  return merge(sort_list(list), sort_list(second));
}

static uint16_t list_work(uint16_t crc, uint32_t *seed) {
  struct node *list = NULL;
  for (int at = 0; at < NODES; at++) {
    nodes[at] = (struct node){ list, (int16_t)next_random(seed), (int16_t)at };
    list = &nodes[at];
  }
  list = sort_list(list);
  for (struct node *each = list; each; each = each->next)
    if (each->key & 7) crc = (crc << 1 | crc >> 15) ^ (uint16_t)each->value;
  return crc16(crc, (uint16_t)list->key);
}

static uint16_t matrix_work(uint16_t crc, int16_t by) {
  for (int y = 0; y < SIDE; y++)
    for (int x = 0; x < SIDE; x++) {
      int32_t sum = 0;
      for (int at = 0; at < SIDE; at++) sum += left[y][at] * (right[at][x] + by);
      product[y][x] = sum;
    }
  for (int at = 0; at < SIDE; at++) crc = crc16(crc, (uint32_t)product[at][SIDE - 1 - at]);
  return crc;
}

enum state { START, SIGN, WHOLE, POINT, FRACTION, EXPONENT, INVALID, STATES };

static enum state step(enum state state, char c) {
  int digit = c >= '0' && c <= '9';
  switch (state) {
    case START: return digit ? WHOLE : c == '-' || c == '+' ? SIGN : c == '.' ? POINT : INVALID;
    case SIGN: return digit ? WHOLE : c == '.' ? POINT : INVALID;
    case WHOLE: return digit ? WHOLE : c == '.' ? POINT : c == 'e' ? EXPONENT : INVALID;
    case POINT:
    case FRACTION: return digit ? FRACTION : c == 'e' ? EXPONENT : INVALID;
    case EXPONENT: return digit || c == '-' ? EXPONENT : INVALID;
    default: return INVALID;
  }
}

static uint16_t state_work(uint16_t crc) {
  uint32_t counts[STATES] = { 0 };
  enum state state = START;
  for (int at = 0; at < TEXT_BYTES; at++) {
    state = text[at] == ',' ? START : step(state, text[at]);
    counts[state]++;
  }
  for (int each = 0; each < STATES; each++) crc = crc16(crc, counts[each]);
  return crc;
}

static void integer_prepare(int copy) {
  uint32_t seed = 7;
  (void)copy;
  for (int at = 0; at < TEXT_BYTES; at++) text[at] = "0123456789,,.-+e"[next_random(&seed) >> 28];
  for (int y = 0; y < SIDE; y++)
    for (int x = 0; x < SIDE; x++) {
      left[y][x] = (int16_t)(next_random(&seed) >> 24);
      right[y][x] = (int16_t)(next_random(&seed) >> 24);
    }
}

static uint32_t integer_run(int copy) {
  uint32_t seed = 11;
  uint16_t crc = (uint16_t)(copy * 0);
  for (int round = 0; round < part_of(INTEGER_ROUNDS); round++) {
    crc = list_work(crc, &seed);
    crc = matrix_work(crc, (int16_t)round);
    for (int again = 0; again < 8; again++) crc = state_work(crc);
  }
  return crc;
}

/* records: what Dhrystone does, in our own words: calls, records, strings, branches. */

enum { RECORDS_ROUNDS = 2500000 };

struct record {
  struct record *partner;
  int kind, small, large;
  char name[32];
};

static struct record first, second;
static int table[64];

#define APART __attribute__((noinline))

static APART int classify(char a, char b) { return a == b ? 1 : a < b ? 2 : 3; }

static APART int compare_names(const char *a, const char *b, int from) {
  int at = from;
  while (at <= from + 1)
    if (classify(a[at], b[at + 1]) == 1) return 0;
    else at++;
  return strcmp(a, b) > 0 ? at + 7 : at;
}

static APART void fill(int *row, int at, int value) {
  row[at & 31] = value;
  row[(at & 31) + 1] = row[at & 31];
  row[(at & 31) + 30] = at;
}

static APART void exchange(struct record *record, int round) {
  struct record *other = record->partner;
  *other = *record;
  record->small = 5;
  other->small = record->small;
  other->partner = record;
  other->kind = (record->kind + round) % 3;
  switch (other->kind) {
    case 0: other->large = record->large + 1; break;
    case 1: other->large = record->large ^ round; break;
    default: record->large = other->large / 7 + round;
  }
}

static uint32_t records_run(int copy) {
  uint32_t sum = (uint32_t)copy * 0;
  first = (struct record){ &second, 1, 40, 9, "SOME RECORD OF THE BENCH" };
  char name[32], other[32];
  strcpy(name, "1ST STRING OF THE RECORDS ROW");
  for (int round = 0; round < RECORDS_ROUNDS; round++) {
    strcpy(other, "2ND STRING OF THE RECORDS ROW");
    other[round & 15] = (char)('A' + (round & 15));
    exchange(&first, round);
    fill(table, round, first.large);
    first.partner = &second;
    sum = mixed(sum, (uint32_t)(compare_names(name, other, 2) + table[round & 63]));
  }
  return sum;
}

/* memory: a walk in random order through 16 MiB, then copies and sums of it. */

enum { CELLS = 4 << 20, WALK_STEPS = 512 << 10, SWEEPS = 3 };

static uint32_t *cells, *target;

static void memory_prepare(int copy) {
  (void)copy;
  cells = malloc(CELLS * sizeof *cells);
  target = malloc(CELLS * sizeof *target);
  if (!cells || !target) fail("memory");
  uint32_t seed = 3;
  for (int at = 0; at < CELLS; at++) cells[at] = next_random(&seed) % CELLS, target[at] = 0;
}

static uint32_t memory_run(int copy) {
  uint32_t sum = 0, at = (uint32_t)copy * 0;
  for (int step = 0; step < WALK_STEPS; step++) {
    at = (cells[at] + (uint32_t)step) % CELLS;
    sum += at;
  }
  for (int sweep = 0; sweep < SWEEPS; sweep++) {
    for (int each = 0; each < CELLS; each++) target[each] = cells[each] + (uint32_t)sweep;
    for (int each = 0; each < CELLS; each += 2) sum += target[each];
  }
  return sum;
}

/* float: bodies that attract each other, and a product of matrices. */

enum { BODIES = 5, FLOAT_STEPS = 150000, FLOAT_SIDE = 96, FLOAT_PRODUCTS = 15 };

static double place[BODIES][3], speed[BODIES][3], mass[BODIES];
static double a[FLOAT_SIDE][FLOAT_SIDE], b[FLOAT_SIDE][FLOAT_SIDE], c[FLOAT_SIDE][FLOAT_SIDE];

static void attract(double dt) {
  for (int i = 0; i < BODIES; i++)
    for (int j = i + 1; j < BODIES; j++) {
      double apart[3], square = 0.01;
      for (int k = 0; k < 3; k++) {
        apart[k] = place[i][k] - place[j][k];
        square += apart[k] * apart[k];
      }
      double pull = dt / (square * sqrt(square));
      for (int k = 0; k < 3; k++) {
        speed[i][k] -= apart[k] * mass[j] * pull;
        speed[j][k] += apart[k] * mass[i] * pull;
      }
    }
  for (int i = 0; i < BODIES; i++)
    for (int k = 0; k < 3; k++) place[i][k] += dt * speed[i][k];
}

static void multiply(void) {
  for (int y = 0; y < FLOAT_SIDE; y++)
    for (int x = 0; x < FLOAT_SIDE; x++) {
      double sum = 0;
      for (int at = 0; at < FLOAT_SIDE; at++) sum += a[y][at] * b[at][x];
      c[y][x] = sum;
    }
}

/* Fused or not, the last bits differ between processors: only the first ones are the answer. */
static uint32_t float_run(int copy) {
  uint32_t seed = 5 + (uint32_t)copy * 0;
  for (int i = 0; i < BODIES; i++) {
    mass[i] = 1 + i;
    for (int k = 0; k < 3; k++) {
      place[i][k] = (double)(next_random(&seed) >> 8) / (1 << 20);
      speed[i][k] = 0;
    }
  }
  for (int step = 0; step < FLOAT_STEPS; step++) attract(1e-6);
  for (int y = 0; y < FLOAT_SIDE; y++)
    for (int x = 0; x < FLOAT_SIDE; x++) {
      a[y][x] = (double)((y + x) % 17) / 4;
      b[y][x] = (double)((y * 5 + x) % 13) / 8;
    }
  for (int again = 0; again < FLOAT_PRODUCTS; again++) {
    multiply();
    a[again][again] = c[again][again] / 1024;
  }
  return (uint32_t)(place[0][0] * 1000 + 0.5) + (uint32_t)c[7][9];
}

const struct row compute_rows[] = {
  { "integer", integer_prepare, integer_run },
  { "records", NULL, records_run },
  { "memory", memory_prepare, memory_run },
  { "float", NULL, float_run },
  { NULL, NULL, NULL },
};
