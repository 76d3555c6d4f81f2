import react from '@vitejs/plugin-react';
import { defineConfig } from 'vite';

const api = process.env.SIGNALBOX_API_URL ?? 'http://127.0.0.1:8000';

export default defineConfig({
  base: '/console/',
  plugins: [react()],
  build: { target: 'es2022', modulePreload: { polyfill: false }, assetsInlineLimit: 0, chunkSizeWarningLimit: 900 },
  server: { proxy: { '/api': { target: api, ws: true } } },
});
