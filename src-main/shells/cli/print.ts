/**
 * How the command line speaks: data on standard output, everything else on standard error; tables
 * for people on a terminal, tabs between columns for programs, JSON when asked.
 */
export const isTerminal = process.stdout.isTTY === true;
const colours = process.stderr.isTTY === true && process.env['NO_COLOR'] === undefined;

export function data(text: string): void {
  process.stdout.write(text.endsWith('\n') ? text : `${text}\n`);
}

export function json(value: unknown): void {
  data(JSON.stringify(value, null, isTerminal ? 2 : 0));
}

export function say(text: string): void {
  process.stderr.write(`${text}\n`);
}

export function dim(text: string): string {
  return colours ? `\x1b[2m${text}\x1b[0m` : text;
}

/** Rows under a heading; aligned on a terminal, tab-separated and without heading elsewhere. */
export function table(heading: readonly string[], rows: readonly (readonly string[])[]): void {
  if (!isTerminal) {
    for (const row of rows) data(row.join('\t'));
    return;
  }
  const all = [heading.map((word) => word.toUpperCase()), ...rows];
  const widths = heading.map((_, column) => Math.max(...all.map((row) => row[column]!.length)));
  for (const row of all) {
    data(
      row
        .map((cell, column) => cell.padEnd(widths[column]!))
        .join('  ')
        .trimEnd(),
    );
  }
}

export function bytes(count: number): string {
  if (count < 1024) return `${count} B`;
  const units = ['KiB', 'MiB', 'GiB', 'TiB'];
  let value = count;
  let unit = -1;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${value >= 100 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`;
}

/** One line of progress that is written over on a terminal, and a line each step elsewhere. */
export class Progress {
  private last = '';

  show(step: string, fraction: number | undefined): void {
    const percent = fraction === undefined ? '' : ` ${Math.floor(fraction * 100)} %`;
    if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${step}${percent}`);
    else if (step !== this.last) say(step);
    this.last = step;
  }

  end(): void {
    if (process.stderr.isTTY) process.stderr.write('\r\x1b[K');
  }
}
