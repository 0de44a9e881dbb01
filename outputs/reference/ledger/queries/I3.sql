-- analysis.open_study("outputs/ledger").sql(…)
SELECT subject, quantity, repeat, value, unit
FROM measurements
WHERE task = 'start_rules'
ORDER BY subject, quantity, repeat;
