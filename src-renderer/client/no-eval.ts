/**
 * Before anything else: the page's content policy forbids making code from strings, so zod shall
 * not even try. Must be the first import of main.ts, for schemas are built while modules load.
 */
import { z } from 'zod';

z.config({ jitless: true });
