/**
 * A large C file for the compilers of the bench, the same each time: some functions with
 * loops, switches, records and calls, and no include.
 */
const functions = 8;

export function largeSource(): string {
  const names = Array.from({ length: functions }, (_, n) => `work${n}`);
  const table = `int (*const table[])(struct item *, int) = { ${names.join(', ')} };\n`;
  return [
    'struct item { struct item *next; int kind, count; double weight; char name[24]; };',
    ...names.map((name, n) => one(name, n, n === 0 ? undefined : names[(n * 7) % n])),
    table,
  ].join('\n');
}

function one(name: string, n: number, other: string | undefined): string {
  const cases = Array.from({ length: 5 + (n % 4) }, (_, c) =>
    `      case ${c * 3 + (n % 5)}: sum += item->count * ${n + c} ^ at << ${c}; break;`);
  return `
int ${name}(struct item *list, int limit) {
  int sum = ${n}, cells[${16 + (n % 8)}] = { 0 };
  for (struct item *item = list; item; item = item->next) {
    int at = item->kind % ${16 + (n % 8)};
    switch (item->kind & ${15 + 16 * (n % 2)}) {
${cases.join('\n')}
      default: cells[at < 0 ? 0 : at] += item->name[at & 15] - ${n % 90};
    }
    for (int step = 0; step < limit; step++) {
      cells[step % 16] += (sum >> (step & 7)) * ${n * 3 + 1};
      if (cells[step % 16] > ${1000 + n} && item->weight < ${n}.5) item->weight *= 1.0${n % 10};
      else sum ^= cells[(step + ${n}) % 16] / ${n + 2};
    }
    while (sum > ${5000 + n}) sum = sum / 2 + ${other ? `${other}(item->next, 3)` : '1'};
  }
  return sum + cells[${n % 16}];
}`;
}
