// The old server's own stack: the customer's document 4.1 without its new parts. What its `pg` reads, its Express
// sends; nothing here has an opinion on a value. COLUMNS are id, time of creation and of change.
const express = require('express');
const { Pool } = require('pg');

const [ID, CREATED_AT, UPDATED_AT] = (process.env.COLUMNS || 'id,createdAt,updatedAt').split(',').map((name) => `"${name}"`);
const db = new Pool({ connectionString: process.env.DATABASE_URL, max: 10 });
const app = express();
app.use(express.json());

const answer = (handle) => (req, res) => handle(req, res).catch((error) => res.status(500).json({ error: error.message }));
const one = (res, rows, status = 200) =>
  rows.length ? res.status(status).json(rows[0]) : res.status(404).json({ error: 'Booking not found' });

app.get('/api/admin/bookings', answer(async (req, res) => {
  const page = req.query.limit ? ` LIMIT ${Number(req.query.limit)}` : '';
  const { rows } = await db.query(`SELECT * FROM bookings ORDER BY ${CREATED_AT} DESC, ${ID}${page}`);
  res.json(rows.map((booking) => ({ ...booking })));
}));

app.get('/api/admin/bookings/:id', answer(async (req, res) => {
  const { rows } = await db.query(`SELECT * FROM bookings WHERE ${ID} = $1`, [req.params.id]);
  one(res, rows);
}));

app.post('/api/admin/bookings', answer(async (req, res) => {
  const names = Object.keys(req.body).map((name) => `"${name}"`);
  const places = names.map((_, index) => `$${index + 1}`);
  const { rows } = await db.query(
    `INSERT INTO bookings (${names}) VALUES (${places}) RETURNING *`, Object.values(req.body));
  one(res, rows, 201);
}));

app.put('/api/admin/bookings/:id', answer(async (req, res) => {
  const changes = Object.keys(req.body).map((name, index) => `"${name}" = $${index + 2}`);
  const { rows } = await db.query(
    `UPDATE bookings SET ${[...changes, `${UPDATED_AT} = now()`]} WHERE ${ID} = $1 RETURNING *`,
    [req.params.id, ...Object.values(req.body)]);
  one(res, rows);
}));

app.delete('/api/admin/bookings/:id', answer(async (req, res) => {
  const { rowCount } = await db.query(`DELETE FROM bookings WHERE ${ID} = $1`, [req.params.id]);
  one(res, rowCount ? [{ success: true }] : []);
}));

app.listen(Number(process.env.PORT), '127.0.0.1');
