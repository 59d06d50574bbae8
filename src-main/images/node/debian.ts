export async function buildDebian(_o: any): Promise<{ path: string }> { throw new Error('not yet'); }
