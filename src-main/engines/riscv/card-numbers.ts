/** Slot → number of the card in the guest (`eth0`), which counts its cards as they come. */
export class CardNumbers {
  private readonly numbers: Map<number, number>;

  /** Of the slots that it starts with. */
  constructor(slots: readonly number[]) {
    const sorted = [...slots].sort((a, b) => a - b);
    this.numbers = new Map(sorted.map((slot, number) => [slot, number]));
  }

  name(slot: number): string {
    return `eth${this.numbers.get(slot) ?? slot}`;
  }

  plugged(slot: number): void {
    const taken = [...this.numbers.values()];
    let number = 0;
    while (taken.includes(number)) number++;
    this.numbers.set(slot, number);
  }

  unplugged(slot: number): void {
    this.numbers.delete(slot);
  }
}
