/**
 * Short sentences at the edge of the window. A refusal stays longer and is read out at once;
 * at most four are kept.
 */
export type Toast = {
  id: number;
  tone: 'note' | 'good' | 'refusal';
  text: string;
  action?: { label: string; run: () => void } | undefined;
};

const toastsMax = 4;
const stayMs = { note: 5000, good: 5000, refusal: 12_000 };

export class Toasts {
  list = $state<Toast[]>([]);
  private lastId = 0;
  private readonly timers = new Map<number, ReturnType<typeof setTimeout>>();

  show(tone: Toast['tone'], text: string, action?: Toast['action']): void {
    const same = this.list.find((toast) => toast.text === text);
    if (same) this.drop(same.id);
    const toast = { id: ++this.lastId, tone, text, action };
    this.list.push(toast);
    if (this.list.length > toastsMax) this.drop(this.list[0]!.id);
    this.resume(toast);
  }

  drop(id: number): void {
    this.hold(id);
    this.list = this.list.filter((toast) => toast.id !== id);
  }

  /** While it is pointed at it does not go away. */
  hold(id: number): void {
    clearTimeout(this.timers.get(id));
    this.timers.delete(id);
  }

  resume({ id, tone }: Pick<Toast, 'id' | 'tone'>): void {
    this.hold(id);
    this.timers.set(id, setTimeout(() => this.drop(id), stayMs[tone]));
  }
}
