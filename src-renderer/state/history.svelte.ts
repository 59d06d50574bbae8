/**
 * What can be undone, newest last. An edit is two things to ask of the server; what it refuses is
 * dropped, for then the world is no longer as the edit left it.
 *
 *   await history.run({ title: 'Connect web to lab', forward, back });
 *   await history.undo();
 */
export type Edit = {
  /** What it did, as a menu would say it. */
  title: string;
  /** Both say whether the server agreed. */
  forward: () => Promise<boolean>;
  back: () => Promise<boolean>;
};

const editsMax = 100;

export class History {
  private done = $state.raw<readonly Edit[]>([]);
  private undone = $state.raw<readonly Edit[]>([]);
  /** One at a time: the next starts from what the last has made. */
  private tail: Promise<unknown> = Promise.resolve();
  readonly nextUndo = $derived(this.done.at(-1)?.title);
  readonly nextRedo = $derived(this.undone.at(-1)?.title);

  run(edit: Edit): Promise<void> {
    return this.inTurn(async () => {
      if (!(await edit.forward())) return;
      this.done = [...this.done, edit].slice(-editsMax);
      this.undone = [];
    });
  }

  undo(): Promise<void> {
    return this.inTurn(async () => {
      const edit = this.done.at(-1);
      if (!edit) return;
      this.done = this.done.slice(0, -1);
      if (await edit.back()) this.undone = [...this.undone, edit];
    });
  }

  redo(): Promise<void> {
    return this.inTurn(async () => {
      const edit = this.undone.at(-1);
      if (!edit) return;
      this.undone = this.undone.slice(0, -1);
      if (await edit.forward()) this.done = [...this.done, edit];
    });
  }

  private inTurn(work: () => Promise<void>): Promise<void> {
    const turn = this.tail.then(work);
    this.tail = turn.catch(() => undefined);
    return turn;
  }
}
