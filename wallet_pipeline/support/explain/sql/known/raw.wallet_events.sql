-- Deliveries about the component's passes that had arrived by $known_at (UTC). Grain: delivery.
FROM raw.wallet_events SEMI JOIN component USING (pass_id) WHERE received_at <= $known_at
