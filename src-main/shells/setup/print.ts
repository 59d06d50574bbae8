/**
 * Progress on stderr: one line a step. On a terminal the line is redrawn with how far it is; in a
 * log only its beginning, every so often its progress, and its end are written.
 */
export interface Output {
  readonly isTTY?: boolean;
  readonly columns?: number;
  write(text: string): unknown;
}

export interface Line {
  report(fraction: number | undefined, text: string): void;
  done(): void;
  failed(sentence: string): void;
}

/** Between two progress lines in a log. */
const logEveryMs = 15_000;
const drawEveryMs = 80;

export class Printer {
  private readonly output: Output;
  private readonly nowMs: () => number;

  constructor(output: Output, nowMs: () => number) {
    this.output = output;
    this.nowMs = nowMs;
  }

  say(sentence: string): void {
    this.output.write(`${sentence}\n`);
  }

  begin(title: string): Line {
    const beganMs = this.nowMs();
    const live = this.output.isTTY === true;
    let spokeMs = beganMs;
    const end = (mark: string, rest: string) => {
      const took = `${((this.nowMs() - beganMs) / 1000).toFixed(1)} s`;
      this.output.write(`${live ? '\r\x1b[K' : ''}${mark} ${title}  ${took}${rest}\n`);
    };
    this.output.write(live ? `· ${title}` : `· ${title}\n`);
    return {
      report: (fraction, text) => {
        const now = this.nowMs();
        if (now - spokeMs < (live ? drawEveryMs : logEveryMs)) return;
        spokeMs = now;
        const percent = fraction === undefined ? '' : `  ${Math.round(fraction * 100)} %`;
        // Whatever a tool says is one plain line here, never control characters.
        const plain = text.replace(/[\p{Cc}\p{Cf}]+/gu, ' ').trim();
        const line = `· ${title}${percent}${plain ? `  ${plain}` : ''}`;
        const width = (this.output.columns ?? 100) - 1;
        if (live) this.output.write(`\r\x1b[K${line.slice(0, width)}`);
        else this.output.write(`${line}\n`);
      },
      done: () => end('✓', ''),
      failed: (sentence) => end('✗', `\n  ${sentence}`),
    };
  }
}
